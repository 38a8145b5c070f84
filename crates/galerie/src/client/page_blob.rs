//! A page blob that is written: an upload disk, as Azure's tools write one.

use std::{ops::Range, path::Path};

use bytes::Bytes;
use reqwest::{Method, header::CONTENT_LENGTH};

use super::{Error, Result, blob_endpoint::BlobEndpoint};

/// The most bytes of one Put Page.
pub(crate) const PAGES_MAX_BYTES: u64 = 4 << 20;
/// A page's size; everything is aligned to it.
pub(crate) const PAGE_BYTES: u64 = 512;

/// A page blob, by its SAS URL.
#[derive(Debug)]
pub(crate) struct PageBlob(BlobEndpoint);

impl PageBlob {
    /// The blob behind a URL.
    ///
    /// # Errors
    /// `Invalid` when it is no SAS URL.
    pub(crate) fn new(sas_url: &str, ca_file: Option<&Path>) -> Result<Self> {
        BlobEndpoint::new(sas_url, ca_file).map(Self)
    }

    /// The blob's length.
    ///
    /// # Errors
    /// `Refused`, `Unreachable`.
    pub(crate) async fn length_bytes(&self) -> Result<u64> {
        let answer = self.0.send(Method::HEAD, None, |request| request).await?;
        let length = answer.header("x-ms-blob-content-length").or(answer.header(CONTENT_LENGTH.as_str()));
        length
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Error::nonsense("blob properties", "there is no length"))
    }

    /// The ranges that may hold something other than zeros, in order.
    ///
    /// # Errors
    /// `Refused`, `Unreachable`, `Nonsense`.
    pub(crate) async fn page_ranges(&self) -> Result<Vec<Range<u64>>> {
        let answer = self.0.send(Method::GET, Some("pagelist"), |request| request).await?;
        let text = std::str::from_utf8(&answer.body).unwrap_or_default();
        parse_page_ranges(text).ok_or_else(|| Error::nonsense("page ranges", "a range in it is none"))
    }

    /// Writes pages.
    ///
    /// # Errors
    /// `Refused`, `Unreachable`.
    pub(crate) async fn write_pages(&self, offset_bytes: u64, pages: Bytes) -> Result<()> {
        let range = header_range(offset_bytes..offset_bytes + pages.len() as u64);
        let write = |request: reqwest::RequestBuilder| {
            request.header("x-ms-page-write", "update").header("x-ms-range", &range).body(pages.clone())
        };
        self.0.send(Method::PUT, Some("page"), write).await.map(|_| ())
    }

    /// Makes pages zero.
    ///
    /// # Errors
    /// `Refused`, `Unreachable`.
    pub(crate) async fn clear_pages(&self, range: Range<u64>) -> Result<()> {
        let range = header_range(range);
        let clear = |request: reqwest::RequestBuilder| {
            request.header("x-ms-page-write", "clear").header("x-ms-range", &range).header(CONTENT_LENGTH, 0)
        };
        self.0.send(Method::PUT, Some("page"), clear).await.map(|_| ())
    }
}

fn header_range(range: Range<u64>) -> String {
    format!("bytes={}-{}", range.start, range.end - 1)
}

/// `<PageRange><Start>0</Start><End>511</End></PageRange>`, as often as there are; ends are inclusive.
fn parse_page_ranges(xml: &str) -> Option<Vec<Range<u64>>> {
    xml.split("<PageRange>").skip(1).map(parse_page_range).collect()
}

fn parse_page_range(xml: &str) -> Option<Range<u64>> {
    let number = |tag: &str| {
        let (_, rest) = xml.split_once(&format!("<{tag}>"))?;
        rest.split_once('<')?.0.trim().parse::<u64>().ok()
    };
    let (start, end) = (number("Start")?, number("End")?.checked_add(1)?);
    (start < end).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_lists_are_read() {
        let xml = "<?xml version=\"1.0\"?><PageList><PageRange><Start>0</Start><End>511</End></PageRange>\
                   <PageRange><Start>4096</Start><End>8191</End></PageRange></PageList>";
        assert_eq!(parse_page_ranges(xml), Some(vec![0..512, 4096..8192]));
        assert_eq!(parse_page_ranges("<PageList />"), Some(vec![]));
        assert_eq!(parse_page_ranges("<PageRange><Start>x</Start></PageRange>"), None);
        assert_eq!(parse_page_ranges("<PageRange><Start>9</Start><End>1</End></PageRange>"), None);
    }

    #[test]
    fn only_sas_urls_are_taken() {
        for url in ["", "https://host/blob/x/y", "http://host/blob/x/y?sig=a", "disk.vhd"] {
            assert!(PageBlob::new(url, None).is_err(), "{url}");
        }
    }
}
