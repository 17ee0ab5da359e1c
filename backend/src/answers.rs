//! Answers of text. Decides their type and whether a status has a body; called by routes and reports. Never knows why one is given.

use http::{HeaderValue, Response, StatusCode, header};

use crate::body::Body;

pub(crate) fn text(body: impl Into<bytes::Bytes>) -> Response<Body> {
    text_of(Body::whole(body))
}

pub(crate) fn text_of(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

pub(crate) fn with_status(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response<Body> {
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
    let mut response = if bodiless { Response::new(Body::empty()) } else { text(body) };
    *response.status_mut() = status;
    response
}
