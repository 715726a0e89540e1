//! The console: a page in a browser that shows what the server has, by the calls that everybody makes. Its files are
//! built into this program. Never gives anything that a call would not.

use std::sync::LazyLock;

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH,
    LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use tonic::body::Body;

/// Where it is.
const FOLDER: &str = "/console/";
/// Only its own files run, nothing else is loaded, no text becomes a program, and no other page shows it in a
/// frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";
const JSON: &str = "application/json";

/// The files: their names below [`FOLDER`], their types and their content.
macro_rules! files {
    ($($name:literal $kind:ident,)*) => {
        [
            ("", HTML, include_str!("../../../console/index.html")),
            ("openapi.json", JSON, include_str!("../../../docs/openapi.json")),
            $(($name, $kind, include_str!(concat!("../../../console/", $name))),)*
        ]
    };
}

const FILES: [(&str, &str, &str); 18] = files! {
    "calls.js" SCRIPT,
    "console.css" STYLE,
    "console.js" SCRIPT,
    "dom.js" SCRIPT,
    "facets.js" SCRIPT,
    "icon.svg" PICTURE,
    "kept_list.js" SCRIPT,
    "live.js" SCRIPT,
    "post_card.js" SCRIPT,
    "stream_panel.js" SCRIPT,
    "views/calls.js" SCRIPT,
    "views/feed.js" SCRIPT,
    "views/notifications.js" SCRIPT,
    "views/numbers.js" SCRIPT,
    "views/post.js" SCRIPT,
    "views/user.js" SCRIPT,
};

/// The version of all files: browsers ask whether they have it, so that after an upgrade no old file is mixed with
/// new ones.
static VERSION: LazyLock<HeaderValue> = LazyLock::new(|| {
    let mut hash = crc32fast::Hasher::new();
    FILES.iter().for_each(|(_, _, content)| hash.update(content.as_bytes()));
    let Ok(version) = HeaderValue::try_from(format!("\"{:08x}\"", hash.finalize())) else {
        unreachable!("digits in quotes")
    };
    version
});

/// Serves the console, if it is on. Cheap to clone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Console {
    is_on: bool,
}

impl Console {
    /// On or off.
    pub(super) fn new(is_on: bool) -> Self {
        Self { is_on }
    }

    /// The file that `request` asks for; `None` if there is none.
    pub(super) fn file<B>(self, request: &Request<B>) -> Option<Response<Body>> {
        if !self.is_on || ![Method::GET, Method::HEAD].contains(request.method()) {
            return None;
        }
        let path = request.uri().path();
        if path == "/" || path == FOLDER.trim_end_matches('/') {
            return Some(redirect(request.method()));
        }
        let name = path.strip_prefix(FOLDER)?;
        let (_, kind, content) = FILES.iter().find(|(of, ..)| *of == name)?;
        let is_known = request.headers().get(IF_NONE_MATCH) == Some(&*VERSION);
        let has_body = !is_known && request.method() == Method::GET;
        let mut response = Response::new(match has_body {
            true => Body::new(Full::from(*content)),
            false => Body::empty(),
        });
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(ETAG, VERSION.clone());
        protect(headers);
        Some(response)
    }
}

/// Leads there. A person without a browser reads where it is.
fn redirect(method: &Method) -> Response<Body> {
    let sentence = if method == Method::HEAD { "" } else { "The console is at /console/\n" };
    let mut response = super::response(StatusCode::TEMPORARY_REDIRECT, TEXT, sentence.into());
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(FOLDER));
    protect(response.headers_mut());
    response
}

fn protect(headers: &mut HeaderMap) {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-cache"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (OPENER_POLICY, "same-origin"),
        (RESOURCE_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
