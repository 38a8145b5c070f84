use std::{collections::VecDeque, net::Ipv4Addr, sync::Mutex};

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::HeaderMap,
    response::{IntoResponse, Redirect},
    routing::get,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

const LOOPBACK: &str = "127.0.0.1";

fn fetch(allow: &[&str]) -> HttpFetch {
    // The program does it when it starts; another test may have been faster.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let allow = allow.iter().map(|range| AllowedRange::try_from((*range).to_owned()).unwrap()).collect();
    HttpFetch::new(&FetchConfig { allow, max_bytes: 1000, ..FetchConfig::default() }).unwrap()
}

/// Names as a test says: each lookup gets the next answer.
#[derive(Debug, Default)]
struct Names(Mutex<VecDeque<Vec<SocketAddr>>>);

impl Names {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answer = |addresses: &&[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
        Arc::new(Self(Mutex::new(answers.iter().map(answer).collect())))
    }

    fn left(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

#[async_trait]
impl Lookup for Names {
    async fn addresses(&self, host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        self.0.lock().unwrap().pop_front().ok_or_else(|| io::Error::other(format!("nobody knows {host} any more")))
    }
}

/// A server at an address of this machine's own.
async fn serve(address: Ipv4Addr, routes: Router) -> String {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    base
}

async fn whole(fetch: &HttpFetch, url: &str) -> Result<Vec<u8>, FetchError> {
    let mut fetched = fetch.open(url).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = fetched.body.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

/// Why a link is refused for good.
async fn refused(fetch: &HttpFetch, url: &str) -> String {
    match whole(fetch, url).await {
        Err(FetchError::Final(why)) => why,
        other => panic!("{url}: {other:?}"),
    }
}

#[tokio::test]
async fn nothing_inside_is_asked_unless_it_is_allowed() {
    let base = serve(Ipv4Addr::LOCALHOST, Router::new().route("/p", get(|| async { "bytes" }))).await;
    let port = base.rsplit_once(':').unwrap().1;
    let strict = fetch(&[]);
    for url in [
        format!("{base}/p"),
        format!("http://localhost:{port}/p"),
        format!("https://localhost:{port}/p"),
        format!("http://2130706433:{port}/p"),
        format!("http://0x7f.1:{port}/p"),
        format!("http://[::ffff:127.0.0.1]:{port}/p"),
        format!("http://0.0.0.0:{port}/p"),
        "https://169.254.169.254/metadata".to_owned(),
        "https://[fd00:ec2::254]/latest".to_owned(),
    ] {
        let why = refused(&strict, &url).await;
        assert!(why.contains("is not public") && why.contains("[fetch] allow"), "{url}: {why}");
    }
    let allowed = fetch(&[LOOPBACK]);
    assert_eq!(whole(&allowed, &format!("{base}/p")).await.unwrap(), b"bytes");
    // A name that means an allowed address is as good as the address; what is allowed is no more than that.
    assert!(whole(&allowed, &format!("http://[::ffff:127.0.0.1]:{port}/p")).await.is_ok());
    assert!(refused(&allowed, "https://10.0.0.1/p").await.contains("is not public"));
}

/// A public address by http, which anybody on the way can change.
#[tokio::test]
async fn http_is_for_what_is_allowed() {
    let why = refused(&fetch(&[LOOPBACK]), "http://93.184.216.34/p").await;
    assert!(why.contains("it is http"), "{why}");
    for url in ["ftp://93.184.216.34/p", "file:///etc/passwd", "https://u:secret@93.184.216.34/p", "nothing"] {
        let why = refused(&fetch(&[]), url).await;
        assert!(!why.contains("secret"), "{why}");
    }
}

/// A name that means something else a moment later: what was looked up is what is asked, and every step looks it up again.
#[tokio::test]
async fn a_name_is_looked_up_once_a_step_and_checked_each_time() {
    let inside = serve(Ipv4Addr::new(127, 0, 0, 2), Router::new().route("/p", get(|| async { "inside" }))).await;
    let inside = inside.trim_start_matches("http://").to_owned();
    let routes = Router::new()
        .route("/p", get(|| async { "bytes" }))
        .route("/again", get(|| async { Redirect::temporary("/p") }));
    let base = serve(Ipv4Addr::LOCALHOST, routes).await;
    let outside = base.trim_start_matches("http://").to_owned();
    let port = outside.rsplit_once(':').unwrap().1;
    let with = |names: &Arc<Names>| HttpFetch { lookup: names.clone(), ..fetch(&["127.0.0.1/32"]) };
    let url = |path: &str| format!("http://packages.test:{port}{path}");
    // The second answer is never asked for.
    let names = Names::new(&[&[&outside], &[&inside]]);
    assert_eq!(whole(&with(&names), &url("/p")).await.unwrap(), b"bytes");
    assert_eq!(names.left(), 1);
    // A redirect to the same name is checked anew.
    let names = Names::new(&[&[&outside], &[&inside]]);
    let why = refused(&with(&names), &url("/again")).await;
    assert!(why.contains("not public") && !why.contains("127.0.0.2"), "{why}");
    assert_eq!(names.left(), 0);
    // One address that may be asked does not make up for one that may not.
    let names = Names::new(&[&[&outside, &inside]]);
    assert!(refused(&with(&names), &url("/p")).await.contains("not public"));
    for names in [Names::new(&[]), Names::new(&[&[]])] {
        let unknown = whole(&with(&names), &url("/p")).await.unwrap_err();
        assert!(
            matches!(&unknown, FetchError::Passing(why) if why.contains("host of http://packages.test")),
            "{unknown}"
        );
    }
}

/// Who is at the other end is who the link names, says an authority that this server trusts.
#[tokio::test]
async fn certificates_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::generate_simple_self_signed(["packages.test".to_owned()]).unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, key.cert.pem()).unwrap();
    let _ = fetch(&[]);
    let config = axum_server::tls_rustls::RustlsConfig::from_pem(
        key.cert.pem().into_bytes(),
        key.signing_key.serialize_pem().into_bytes(),
    );
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = axum_server::from_tcp_rustls(listener, config.await.unwrap()).unwrap();
    let routes = Router::new().route("/p", get(|| async { "bytes" }));
    tokio::spawn(server.serve(routes.into_make_service()));
    let allow = vec![AllowedRange::try_from(LOOPBACK.to_owned()).unwrap()];
    let config = FetchConfig { allow, ca_file: Some(ca_file), ..FetchConfig::default() };
    let names = |fetch: HttpFetch, count| {
        let answer = [address.as_str()];
        let answers = vec![&answer[..]; count];
        HttpFetch { lookup: Names::new(&answers), ..fetch }
    };
    let trusting = names(HttpFetch::new(&config).unwrap(), 2);
    assert_eq!(whole(&trusting, "https://packages.test/p").await.unwrap(), b"bytes");
    for (fetch, url) in
        [(&trusting, "https://other.test/p"), (&names(fetch(&[LOOPBACK]), 1), "https://packages.test/p")]
    {
        let refused = whole(fetch, url).await.unwrap_err();
        assert!(
            matches!(&refused, FetchError::Passing(why) if why.ends_with("ca_file names who else is")),
            "{refused}"
        );
    }
}

/// A redirect is a link like the first.
#[tokio::test]
async fn redirects_are_checked_as_links_are() {
    let inside = serve(Ipv4Addr::new(127, 0, 0, 2), Router::new().route("/p", get(|| async { "inside" }))).await;
    let target = Arc::new(Mutex::new(String::new()));
    let routes = Router::new()
        .route("/p", get(|| async { "bytes" }))
        .route("/near", get(|| async { Redirect::temporary("/p") }))
        .route("/round", get(|| async { Redirect::permanent("/round") }))
        .route("/nowhere", get(|| async { StatusCode::FOUND }))
        .route("/file", get(|| async { Redirect::temporary("file:///etc/passwd") }))
        .route(
            "/far",
            get({
                let target = target.clone();
                || async move { Redirect::to(&target.lock().unwrap().clone()) }
            }),
        );
    let base = serve(Ipv4Addr::LOCALHOST, routes).await;
    // Only the first hop is allowed.
    let fetch = fetch(&["127.0.0.1/32"]);
    assert_eq!(whole(&fetch, &format!("{base}/near")).await.unwrap(), b"bytes");
    let port = inside.rsplit_once(':').unwrap().1;
    for far in [format!("{inside}/p"), format!("http://127.2:{port}/p"), "http://169.254.169.254/".to_owned()] {
        target.lock().unwrap().clone_from(&far);
        let why = refused(&fetch, &format!("{base}/far")).await;
        assert!(why.contains("is not public"), "{far}: {why}");
    }
    for (path, expected) in [("/round", "too often"), ("/nowhere", "to nowhere"), ("/file", "neither http nor https")] {
        let why = refused(&fetch, &format!("{base}{path}")).await;
        assert!(why.contains(expected), "{path}: {why}");
    }
}

#[tokio::test]
async fn what_comes_is_bounded() {
    let endless = || async {
        let same = || Ok::<_, std::io::Error>(Bytes::from_static(&[7; 100]));
        Body::from_stream(stream::iter(std::iter::repeat_with(same)))
    };
    let silent = || async {
        let first = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"a")) });
        Body::from_stream(first.chain(stream::pending()))
    };
    let drop_by_drop = || async {
        let drops = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"a")), ()))
        });
        Body::from_stream(drops)
    };
    let routes = Router::new()
        .route("/most", get(|| async { vec![1; 1000] }))
        .route("/more", get(|| async { vec![1; 1001] }))
        .route("/endless", get(endless))
        .route("/silent", get(silent))
        .route("/drops", get(drop_by_drop))
        .route("/never", get(std::future::pending::<()>));
    let base = serve(Ipv4Addr::LOCALHOST, routes).await;
    let fetch = fetch(&[LOOPBACK]);
    assert_eq!(whole(&fetch, &format!("{base}/most")).await.unwrap().len(), 1000);
    for path in ["/more", "/endless"] {
        assert!(refused(&fetch, &format!("{base}{path}")).await.contains("longer than 1000 bytes"), "{path}");
    }
    let impatient = HttpFetch { stall_timeout: Duration::from_secs(1), ..fetch.clone() };
    let in_a_hurry = HttpFetch { timeout: Duration::from_millis(200), ..fetch };
    for (fetch, path, expected) in [
        (&impatient, "/silent", "sent nothing"),
        (&impatient, "/never", "does not answer"),
        (&in_a_hurry, "/drops", "took longer"),
        (&in_a_hurry, "/never", "took longer"),
    ] {
        match whole(fetch, &format!("{base}{path}")).await {
            Err(FetchError::Passing(why)) => assert!(why.contains(expected), "{path}: {why}"),
            other => panic!("{path}: {other:?}"),
        }
    }
}

/// A body that ends before it is whole is not taken for all of it.
#[tokio::test]
async fn what_breaks_off_is_not_the_whole() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/p", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for answer in ["content-length: 10\r\n\r\nabc", "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = connection.read(&mut request).await.unwrap();
            connection.write_all(format!("HTTP/1.1 200 OK\r\n{answer}").as_bytes()).await.unwrap();
        }
    });
    let fetch = fetch(&[LOOPBACK]);
    for _ in 0..2 {
        match whole(&fetch, &url).await {
            Err(FetchError::Passing(why)) => assert!(why.contains("broke off"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn answers_are_told_apart_and_keep_secrets() {
    let routes = Router::new()
        .route("/is/{status}", get(|Path(status): Path<u16>| async move { StatusCode::from_u16(status).unwrap() }))
        .route("/asked", get(|headers: HeaderMap| async move { format!("{headers:?}").into_response() }));
    let base = serve(Ipv4Addr::LOCALHOST, routes).await;
    let fetch = fetch(&["127.0.0.0/8"]);
    for (status, passes) in
        [(204, false), (206, false), (403, false), (404, false), (429, true), (500, true), (503, true)]
    {
        let (why, passed) = match whole(&fetch, &format!("{base}/is/{status}?sig=secret")).await {
            Err(FetchError::Passing(why)) => (why, true),
            Err(FetchError::Final(why)) => (why, false),
            Ok(_) => panic!("{status}"),
        };
        assert!(why.contains(&status.to_string()) && !why.contains("secret"), "{why}");
        assert_eq!(passed, passes, "{status}");
    }
    let asked = String::from_utf8(whole(&fetch, &format!("{base}/asked")).await.unwrap()).unwrap();
    assert!(!asked.contains("authorization") && !asked.contains("cookie") && !asked.contains("referer"), "{asked}");
}

#[test]
fn an_authority_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = FetchConfig { ca_file: Some(folder.path().join("ca.pem")), ..FetchConfig::default() };
    assert!(HttpFetch::new(&config).unwrap_err().to_string().contains("ca.pem"));
}
