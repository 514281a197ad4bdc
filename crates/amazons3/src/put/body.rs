// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Sends a request's body in pieces, so that it can be seen to move, and a rate also holds within it.
//!
//! The SDK signs the bytes as a whole. Only then, right before the request is sent, is its body replaced.

#![forbid(unsafe_code)]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;
use cloudsync_store::Rate;
use http_body::{Body, Frame, SizeHint};

use crate::line::Moved;

/// What a request sends in pieces.
#[derive(Debug)]
pub(super) struct InPieces {
    pub(super) bytes: Bytes,
    pub(super) rate: Option<Arc<Rate>>,
    pub(super) moved: Arc<Moved>,
}

impl Intercept for InPieces {
    fn name(&self) -> &'static str {
        "InPieces"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.request_mut().body_mut();
        // Another body than ours is one that the SDK has encoded.
        if body.bytes() == Some(&self.bytes) {
            *body = SdkBody::from_body_1_x(Pieces {
                left: self.bytes.clone(),
                rate: self.rate.clone(),
                moved: Arc::clone(&self.moved),
                turn: None,
            });
        }
        Ok(())
    }
}

/// Bytes that move at once.
const PIECE: usize = 64 << 10;

type Turn = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// The body.
struct Pieces {
    left: Bytes,
    rate: Option<Arc<Rate>>,
    moved: Arc<Moved>,
    /// The wait for the next piece, and its size.
    turn: Option<(Turn, usize)>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        let mut size = this.left.len().min(PIECE);
        if let Some(rate) = &this.rate {
            let (turn, wanted) = this.turn.get_or_insert_with(|| {
                let (rate, size) = (Arc::clone(rate), size.min(rate.piece()));
                #[allow(clippy::cast_precision_loss, reason = "a rate need not be exact")]
                let turn = async move { rate.turn(size as f64).await };
                (Box::pin(turn), size)
            });
            if turn.as_mut().poll(context).is_pending() {
                // It is not the connection that is waited for.
                this.moved.by(0);
                return Poll::Pending;
            }
            size = *wanted;
            this.turn = None;
        }
        this.moved.by(size);
        Poll::Ready(Some(Ok(Frame::data(this.left.split_to(size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    /// Exact, so that the request has a length.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}
