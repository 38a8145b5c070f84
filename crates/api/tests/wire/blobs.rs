//! The SAS endpoint, as storage clients use it.

use std::sync::Arc;

use axum::http::Method;
use bytes::Bytes;
use galerie_testkit::{Gallery, GalleryOptions, VirtualClock, vhd};

const DISK: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute/disks/d";
const MIB: usize = 1 << 20;
/// The smallest upload that Azure takes.
const FILE_BYTES: usize = 20 * MIB + vhd::FOOTER_BYTES;

async fn upload(gallery: &Gallery) -> String {
    gallery.make_group("rg", "eastus").await;
    gallery.make_upload_disk(DISK, "eastus", FILE_BYTES as u64).await;
    gallery.grant(DISK, "Write").await
}

fn page(byte: u8, pages: usize) -> Bytes {
    Bytes::from(vec![byte; pages * 512])
}

#[tokio::test]
async fn pages_are_written_read_cleared_and_listed() {
    let gallery = Gallery::start().await;
    let sas = upload(&gallery).await;
    let range = ("x-ms-range", "bytes=512-1535");
    let put = gallery.blob(Method::PUT, &sas, "comp=page", &[("x-ms-page-write", "update"), range], page(7, 2)).await;
    let put = put.expect(201);
    assert!(put.header("etag").is_some() && put.header("last-modified").is_some());
    assert_eq!(put.header("x-ms-version"), Some("2018-03-28"));

    let read = gallery
        .blob(Method::GET, &sas, "", &[("x-ms-version", "2025-11-05"), ("Range", "bytes=511-1536")], Bytes::new())
        .await;
    let read = read.expect(206);
    assert_eq!((read.body[0], read.body[1], read.body[1024], read.body[1025]), (0, 7, 7, 0));
    assert_eq!(read.header("content-range"), Some(format!("bytes 511-1536/{FILE_BYTES}").as_str()));
    assert_eq!(read.header("x-ms-version"), Some("2025-11-05"));
    assert_eq!(read.header("etag"), put.header("etag"));

    let listed = gallery.blob(Method::GET, &sas, "comp=pagelist", &[], Bytes::new()).await.expect(200);
    let xml = String::from_utf8_lossy(&listed.body).into_owned();
    assert!(xml.contains("<PageRange><Start>512</Start><End>1535</End></PageRange>"), "{xml}");
    let clear = [("x-ms-page-write", "clear"), ("x-ms-range", "bytes=512-1023")];
    // A client that sends bytes, with a stated length or without one, means to write them.
    let _ = gallery.blob(Method::PUT, &sas, "comp=page", &clear, page(1, 1)).await.expect(400);
    let _ = gallery.blob(Method::PUT, &sas, "comp=page", &clear, Bytes::new()).await.expect(201);
    let read = gallery.blob(Method::GET, &sas, "", &[range], Bytes::new()).await.expect(206);
    assert_eq!((read.body[0], read.body[512]), (0, 7));
}

#[tokio::test]
async fn properties_and_whole_reads() {
    let gallery = Gallery::start().await;
    let sas = upload(&gallery).await;
    let head = gallery.blob(Method::HEAD, &sas, "", &[], Bytes::new()).await.expect(200);
    let length = FILE_BYTES.to_string();
    for (name, value) in [
        ("content-length", length.as_str()),
        ("x-ms-blob-content-length", length.as_str()),
        ("x-ms-blob-type", "PageBlob"),
        ("content-type", "application/octet-stream"),
        ("x-content-type-options", "nosniff"),
        ("accept-ranges", "bytes"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("content-disposition", "attachment; filename=\"d.vhd\""),
    ] {
        assert_eq!(head.header(name), Some(value), "{name}");
    }
    assert!(head.body.is_empty());
    assert_eq!(gallery.blob(Method::GET, &sas, "", &[], Bytes::new()).await.expect(200).body.len(), FILE_BYTES);
}

#[tokio::test]
async fn bad_pages_are_refused_with_storages_codes() {
    let gallery = Gallery::start().await;
    let sas = upload(&gallery).await;
    let past = format!("bytes={FILE_BYTES}-{}", FILE_BYTES + 511);
    let update = ("x-ms-page-write", "update");
    for (headers, body, status, code) in [
        (vec![update, ("x-ms-range", "bytes=1-512")], page(1, 1), 416, "InvalidPageRange"),
        (vec![update, ("x-ms-range", "bytes=0-100")], Bytes::from(vec![1; 101]), 416, "InvalidPageRange"),
        (vec![update, ("x-ms-range", past.as_str())], page(1, 1), 416, "InvalidPageRange"),
        (vec![update, ("x-ms-range", "bytes=0-1023")], page(1, 1), 400, "InvalidInput"),
        (vec![update, ("x-ms-range", "bytes=0-0,2-3")], page(1, 1), 400, "InvalidHeaderValue"),
        (vec![update], page(1, 1), 400, "MissingRequiredHeader"),
        (vec![("x-ms-range", "bytes=0-511")], page(1, 1), 400, "MissingRequiredHeader"),
        (vec![("x-ms-page-write", "append"), ("x-ms-range", "bytes=0-511")], page(1, 1), 400, "InvalidHeaderValue"),
        (vec![update, ("x-ms-range", "bytes=0-511"), ("content-md5", "AAAA")], page(1, 1), 400, "Md5Mismatch"),
        (vec![update, ("x-ms-range", "bytes=0-511"), ("x-ms-content-crc64", "AAAA")], page(1, 1), 400, "Crc64Mismatch"),
        (vec![update, ("x-ms-range", "bytes=0-511"), ("if-match", "\"x\"")], page(1, 1), 412, "ConditionNotMet"),
        (
            vec![update, ("x-ms-range", "bytes=0-511"), ("x-ms-structured-body", "XSM/1.0")],
            page(1, 1),
            400,
            "UnsupportedHeader",
        ),
        (vec![update, ("x-ms-range", "bytes=0-5242879")], Bytes::from(vec![1; 5 * MIB]), 413, "RequestBodyTooLarge"),
    ] {
        let answer = gallery.blob(Method::PUT, &sas, "comp=page", &headers, body).await;
        assert_eq!((answer.status, answer.header("x-ms-error-code")), (status, Some(code)), "{headers:?}: {answer}");
        assert!(String::from_utf8_lossy(&answer.body).contains(&format!("<Code>{code}</Code>")), "{answer}");
    }
    let listed = gallery.blob(Method::GET, &sas, "comp=pagelist", &[], Bytes::new()).await.expect(200);
    assert!(!String::from_utf8_lossy(&listed.body).contains("PageRange"), "nothing was written");
    let beyond = gallery.blob(Method::GET, &sas, "", &[("x-ms-range", past.as_str())], Bytes::new()).await;
    assert_eq!((beyond.status, beyond.header("x-ms-error-code")), (416, Some("InvalidRange")));
    let block = gallery.blob(Method::PUT, &sas, "comp=block", &[], Bytes::new()).await;
    assert_eq!((block.status, block.header("x-ms-error-code")), (400, Some("InvalidQueryParameterValue")));
    let deleted = gallery.blob(Method::DELETE, &sas, "", &[], Bytes::new()).await;
    assert_eq!((deleted.status, deleted.header("x-ms-error-code")), (405, Some("UnsupportedHttpVerb")));
}

#[tokio::test]
async fn transfers_are_checked() {
    let gallery = Gallery::start().await;
    let sas = upload(&gallery).await;
    // Of 512 zeros.
    let digest = ("content-md5", "v2GerAzfP2jUluqTRBN+iw==");
    let headers = [("x-ms-page-write", "update"), ("x-ms-range", "bytes=0-511"), digest];
    let put = gallery.blob(Method::PUT, &sas, "comp=page", &headers, page(0, 1)).await.expect(201);
    assert_eq!(put.header("content-md5"), Some(digest.1));
    let asked = [("x-ms-range", "bytes=0-511"), ("x-ms-range-get-content-md5", "true")];
    let read = gallery.blob(Method::GET, &sas, "", &asked, Bytes::new()).await.expect(206);
    assert_eq!(read.header("content-md5"), Some(digest.1));
}

#[tokio::test]
async fn a_page_blob_of_the_disks_size_may_be_made_anew() {
    let gallery = Gallery::start().await;
    let sas = upload(&gallery).await;
    let update = [("x-ms-page-write", "update"), ("x-ms-range", "bytes=0-511")];
    let _ = gallery.blob(Method::PUT, &sas, "comp=page", &update, page(1, 1)).await.expect(201);
    let length = FILE_BYTES.to_string();
    let kind = ("x-ms-blob-type", "PageBlob");
    let size = ("x-ms-blob-content-length", length.as_str());
    let exists = gallery.blob(Method::PUT, &sas, "", &[kind, size, ("if-none-match", "*")], Bytes::new()).await;
    assert_eq!((exists.status, exists.header("x-ms-error-code")), (409, Some("BlobAlreadyExists")));
    let other = gallery.blob(Method::PUT, &sas, "", &[kind, ("x-ms-blob-content-length", "512")], Bytes::new()).await;
    assert_eq!((other.status, other.header("x-ms-error-code")), (400, Some("InvalidInput")));
    let block = gallery.blob(Method::PUT, &sas, "", &[("x-ms-blob-type", "BlockBlob")], Bytes::new()).await;
    assert_eq!((block.status, block.header("x-ms-error-code")), (409, Some("InvalidBlobType")));
    let _ = gallery.blob(Method::PUT, &sas, "", &[kind, size], Bytes::new()).await.expect(201);
    let listed = gallery.blob(Method::GET, &sas, "comp=pagelist", &[], Bytes::new()).await.expect(200);
    assert!(!String::from_utf8_lossy(&listed.body).contains("PageRange"));
}

#[tokio::test]
async fn a_sas_that_was_changed_revoked_or_is_over_is_403() {
    let clock = Arc::new(VirtualClock::now());
    let gallery = Gallery::start_with(GalleryOptions { clock: Some(clock.clone()), ..GalleryOptions::default() }).await;
    let sas = upload(&gallery).await;
    let expect = async |sas: &str, method: Method, status: u16, code: &str| {
        let answer = gallery.blob(method, sas, "", &[], Bytes::new()).await;
        assert_eq!((answer.status, answer.header("x-ms-error-code")), (status, Some(code)), "{sas}: {answer}");
    };
    let changed = [
        sas.replace("sp=rw", "sp=r"),
        sas.replace("&sig=", "&sig=A"),
        sas.replace("&si=", "&si=x"),
        sas.split("&sig=").next().expect("a part").to_owned(),
        sas.split('?').next().expect("a part").to_owned(),
    ];
    for sas in &changed {
        expect(sas, Method::GET, 403, "AuthenticationFailed").await;
    }
    let other = uuid_of(&sas).chars().rev().collect::<String>();
    expect(&sas.replace(&uuid_of(&sas), &other), Method::GET, 404, "BlobNotFound").await;
    clock.advance_ms(3600 * 1000 + 1);
    expect(&sas, Method::GET, 403, "AuthenticationFailed").await;
}

/// Regression: a client that had what there is was told 412 where storage says 304, and times were not compared.
#[tokio::test]
async fn reads_of_what_the_client_has_are_304() {
    let gallery = Gallery::start().await;
    let sas = upload(&gallery).await;
    let head = gallery.blob(Method::HEAD, &sas, "", &[], Bytes::new()).await.expect(200);
    let header = |name: &str| head.header(name).unwrap_or_else(|| panic!("no {name}")).to_owned();
    let (etag, modified) = (header("etag"), header("last-modified"));
    let (etag, modified) = (etag.as_str(), modified.as_str());
    let past = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (name, value, read, write) in [
        ("if-none-match", etag, 304, 412),
        ("if-none-match", "\"other\"", 200, 201),
        ("if-match", etag, 200, 201),
        ("if-match", "\"other\"", 412, 412),
        ("if-modified-since", modified, 304, 412),
        ("if-modified-since", past, 200, 201),
        ("if-unmodified-since", modified, 200, 201),
        ("if-unmodified-since", past, 412, 412),
        ("if-modified-since", "yesterday", 400, 400),
    ] {
        for (method, query) in [(Method::GET, ""), (Method::HEAD, ""), (Method::GET, "comp=pagelist")] {
            let answer = gallery.blob(method.clone(), &sas, query, &[(name, value)], Bytes::new()).await;
            assert_eq!(answer.status, read, "{method} {query} {name}: {value}");
            if read == 304 {
                assert!(answer.body.is_empty() && answer.header("etag") == Some(etag), "{answer}");
            }
        }
        let update = [("x-ms-page-write", "update"), ("x-ms-range", "bytes=0-511"), (name, value)];
        let answer = gallery.blob(Method::PUT, &sas, "comp=page", &update, page(1, 1)).await;
        assert_eq!(answer.status, write, "{name}: {value}: {answer}");
    }
}

/// Regression: this 401 alone did not say where tokens come from.
#[tokio::test]
async fn bases_without_a_token_are_401_with_a_challenge() {
    let gallery = Gallery::start().await;
    let sas = upload(&gallery).await;
    for authorization in [None, Some("Bearer x")] {
        let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
        let answer = gallery.blob(Method::PUT, &sas, "comp=galerie-bases", &headers, Bytes::from_static(b"[]")).await;
        assert_eq!((answer.status, answer.header("x-ms-error-code")), (401, Some("NoAuthenticationInformation")));
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert!(challenge.starts_with("Bearer authorization_uri=\"https://localhost:8443/"), "{challenge}");
    }
}

/// The disk's uid in a SAS.
fn uuid_of(sas: &str) -> String {
    sas.split("/blob/").nth(1).and_then(|rest| rest.split('/').next()).expect("a uid").to_owned()
}

#[tokio::test]
async fn ending_access_kills_the_sas_at_once_and_reading_may_not_write() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let mut disk = vec![0; 20 * MIB];
    disk[MIB..MIB + 4096].fill(9);
    gallery.upload_disk(DISK, "eastus", &disk).await;
    let sas = gallery.grant(DISK, "Read").await;
    let file = gallery.blob(Method::GET, &sas, "", &[], Bytes::new()).await.expect(200).body;
    assert_eq!((file.len(), &file[..disk.len()] == disk.as_slice()), (FILE_BYTES, true));
    assert_eq!(&file[disk.len()..disk.len() + 8], b"conectix");
    let headers = [("x-ms-page-write", "update"), ("x-ms-range", "bytes=0-511")];
    let refused = gallery.blob(Method::PUT, &sas, "comp=page", &headers, page(1, 1)).await;
    assert_eq!((refused.status, refused.header("x-ms-error-code")), (403, Some("AuthorizationPermissionMismatch")));
    gallery.end_access(DISK).await;
    let dead = gallery.blob(Method::GET, &sas, "", &[], Bytes::new()).await;
    assert_eq!((dead.status, dead.header("x-ms-error-code")), (403, Some("AuthenticationFailed")));
}

#[tokio::test]
async fn an_exceeded_quota_is_told_in_each_protocols_form() {
    let gallery = Gallery::start().await;
    let sas = upload(&gallery).await;
    let set = async |limit: u64| {
        let path = format!("/galerie/quota/set?subscription={}&bytes={limit}", gallery.subscription);
        gallery.post(&path, None).await.expect(200).json()
    };
    let shown = set(FILE_BYTES as u64 - 1).await;
    assert_eq!(shown["bytes"]["used"], FILE_BYTES as u64);
    let headers = [("x-ms-page-write", "update"), ("x-ms-range", "bytes=0-511")];
    let refused = gallery.blob(Method::PUT, &sas, "comp=page", &headers, page(1, 1)).await;
    assert_eq!((refused.status, refused.header("x-ms-error-code")), (409, Some("QuotaExceeded")), "{refused}");
    let text = String::from_utf8_lossy(&refused.body).into_owned();
    for part in ["<Code>QuotaExceeded</Code>", &format!("Current Usage: {FILE_BYTES}"), "galerie quota set"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let clear = [("x-ms-page-write", "clear"), ("x-ms-range", "bytes=0-511")];
    let _ = gallery.blob(Method::PUT, &sas, "comp=page", &clear, Bytes::new()).await.expect(201);
    let path = "{s}/resourceGroups/rg/providers/Microsoft.Compute/disks/more?api-version=2025-01-02";
    let body = serde_json::json!({ "location": "eastus",
        "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
    let refused = gallery.put(path, body.clone()).await.expect(409).json();
    assert_eq!(refused["error"]["code"], "OperationNotAllowed", "{refused}");
    assert_eq!(refused["error"]["details"][0]["code"], "QuotaExceeded", "{refused}");
    set(FILE_BYTES as u64 + (1 << 30)).await;
    let _ = gallery.blob(Method::PUT, &sas, "comp=page", &headers, page(1, 1)).await.expect(201);
    gallery.succeeded(&gallery.put(path, body).await).await;
    for bad in ["", "?subscription=x", "?tenant=t&subscription=s", "?bytes=-1&subscription={s}"] {
        let path = format!("/galerie/quota/set{}", bad.replace("{s}", &gallery.subscription.to_string()));
        assert_eq!(gallery.post(&path, None).await.status, 400, "{bad}");
    }
}
