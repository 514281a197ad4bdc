// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Serves the metrics over HTTP.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::clients::Clients;
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How long a client may take to send a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection may last: one whose client reads nothing must not stay. Prometheus connects again.
const LONGEST: Duration = Duration::from_secs(300);
/// How often a signal is looked for.
const LOOK: Duration = Duration::from_millis(200);

/// Serves until a signal comes.
pub(super) fn until_stopped(address: SocketAddr, clients: Clients) -> Result<Ended, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let failed = |error: io::Error| Error::start(address, error);
    let runtime = runtime.map_err(failed)?;
    let clients = Arc::new(clients);
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let at = listener.local_addr().map_err(failed)?;
        eprintln!("cloudsync: metrics at http://{at}/metrics");
        while !interrupted() {
            match timeout(LOOK, listener.accept()).await {
                Ok(Ok((stream, _))) => drop(tokio::spawn(connection(stream, Arc::clone(&clients)))),
                // Out of descriptors, for example: others may be closed soon.
                Ok(Err(error)) => {
                    tracing::warn!("{at}: {error}");
                    tokio::time::sleep(LOOK).await;
                }
                Err(_) => {}
            }
        }
        Ok(())
    })?;
    // A thread that asks a mount which hangs is not waited for.
    runtime.shutdown_background();
    Ok(Ended::Well)
}

async fn connection(stream: TcpStream, clients: Arc<Clients>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&clients)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(LONGEST, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a connection ended: {error}"),
        Err(_) => tracing::debug!("a connection was closed after {LONGEST:?}"),
    }
}

async fn answer(
    request: Request<Incoming>,
    clients: Arc<Clients>,
) -> Result<Response<String>, Infallible> {
    let plain = |status: StatusCode, text: &str| {
        let mut response = Response::new(text.to_owned());
        *response.status_mut() = status;
        response
    };
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            let text = tokio::task::spawn_blocking(move || clients.ask().text()).await;
            match text {
                Ok(text) => {
                    let mut response = Response::new(text);
                    let kind = hyper::header::HeaderValue::from_static(OPENMETRICS);
                    response.headers_mut().insert(CONTENT_TYPE, kind);
                    response
                }
                Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            }
        }
        (&Method::GET | &Method::HEAD, "/") => plain(StatusCode::OK, "cloudsync: see /metrics\n"),
        (&Method::GET | &Method::HEAD, _) => plain(StatusCode::NOT_FOUND, "see /metrics\n"),
        _ => plain(StatusCode::METHOD_NOT_ALLOWED, "GET only\n"),
    })
}
