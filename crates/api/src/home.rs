//! `/`: a page for somebody who opened the address in a browser.

use axum::response::{IntoResponse, Response};

/// Says what this is.
pub(crate) fn page(version: &str) -> Response {
    let text = format!(
        "Galerie {version}\n\n\
         A shared image gallery that speaks Azure Resource Manager. There is no web page here: use az, an Azure SDK\n\
         or the galerie command with this address.\n\n\
         On the machine that runs it, `galerie connect az` prints how to point az here.\n"
    );
    ([("content-type", "text/plain; charset=utf-8")], text).into_response()
}
