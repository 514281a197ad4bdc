// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Makes copies at Google conditional, so that they never overwrite. The crate's `copy_if_not_exists` sends no
//! condition and its plain copy sends one (0.13.2 passes a flag inverted), so the condition is added to every copy
//! here.

#![forbid(unsafe_code)]

use std::pin::Pin;

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

/// Creates HTTP clients that make copies conditional.
#[derive(Debug)]
pub(crate) struct Conditional;

#[derive(Debug)]
struct Service(HttpClient);

impl HttpConnector for Conditional {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Service(client)))
    }
}

impl HttpService for Service {
    fn call<'s, 'c>(
        &'s self,
        mut request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>
    where
        's: 'c,
    {
        let headers = request.headers_mut();
        if headers.contains_key("x-goog-copy-source")
            && let Ok(none) = "0".parse()
        {
            headers.insert("x-goog-if-generation-match", none);
        }
        Box::pin(self.0.execute(request))
    }
}
