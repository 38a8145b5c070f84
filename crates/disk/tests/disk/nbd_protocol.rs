//! The NBD server, spoken to byte by byte: over a Unix socket, whose connections have threads of their own; and over a pipe
//! in memory where time is virtual, which a socket's real waiting would run ahead of.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use galerie_disk::{
    BlockDevice, Error, MemoryDevice, Result,
    nbd::{Export, Exports, serve_connection, serve_socket},
};
use galerie_store::{Extent, Part};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
    sync::Semaphore,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

const OPT_MAGIC: u64 = 0x4948_4156_454f_5054;
const REP_ACK: u32 = 1;
const REP_ERR_UNSUP: u32 = 0x8000_0001;
const REP_ERR_INVALID: u32 = 0x8000_0003;
const REP_ERR_UNKNOWN: u32 = 0x8000_0006;
const REP_ERR_TOO_BIG: u32 = 0x8000_0009;
const EPERM: u32 = 1;
const EIO: u32 = 5;
const EINVAL: u32 = 22;
const BLOCK: usize = 65536;

/// Data in blocks 0 and 2, zeros in blocks 1 and 3, and a last block of 1000 bytes.
fn content() -> Vec<u8> {
    let mut content = vec![0; 4 * BLOCK];
    content[..BLOCK].fill(1);
    content[2 * BLOCK..3 * BLOCK].fill(2);
    content.extend([3; 1000]);
    content
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

struct Client {
    stream: Box<dyn Stream>,
    server: JoinHandle<Result<()>>,
    cancel: CancellationToken,
}

impl Client {
    fn connect(exports: Exports) -> Self {
        let (stream, other) = UnixStream::pair().unwrap();
        let cancel = CancellationToken::new();
        let token = cancel.clone();
        let server = tokio::spawn(async move { serve_socket(other, &exports, &token).await });
        Self { stream: Box::new(stream), server, cancel }
    }

    fn connect_by_pipe(device: impl BlockDevice + 'static) -> Self {
        let exports = Exports::single(Arc::new(device));
        let (stream, other) = tokio::io::duplex(1 << 20);
        let cancel = CancellationToken::new();
        let token = cancel.clone();
        let server = tokio::spawn(async move { serve_connection(other, &exports, &token).await });
        Self { stream: Box::new(stream), server, cancel }
    }

    /// Connects to one disk and exchanges greetings.
    async fn greeted(device: impl BlockDevice + 'static) -> Self {
        let mut client = Self::connect(Exports::single(Arc::new(device)));
        client.greet(3).await;
        client
    }

    async fn greet(&mut self, flags: u32) {
        assert_eq!(self.take(8).await, b"NBDMAGIC");
        assert_eq!(self.take(8).await, b"IHAVEOPT");
        assert_eq!(self.stream.read_u16().await.unwrap(), 3);
        self.stream.write_u32(flags).await.unwrap();
    }

    async fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    async fn send_option(&mut self, option: u32, data: &[u8]) {
        let header = [&OPT_MAGIC.to_be_bytes()[..], &option.to_be_bytes(), &(data.len() as u32).to_be_bytes()].concat();
        self.stream.write_all(&[&header, data].concat()).await.unwrap();
    }

    async fn option_reply(&mut self, option: u32) -> (u32, Vec<u8>) {
        assert_eq!(self.stream.read_u64().await.unwrap(), 0x0003_e889_0455_65a9);
        assert_eq!(self.stream.read_u32().await.unwrap(), option);
        let kind = self.stream.read_u32().await.unwrap();
        let length = self.stream.read_u32().await.unwrap();
        (kind, self.take(length as usize).await)
    }

    /// All replies to an option, up to its ACK or error.
    async fn option(&mut self, option: u32, data: &[u8]) -> Vec<(u32, Vec<u8>)> {
        self.send_option(option, data).await;
        let mut replies = Vec::new();
        loop {
            let reply = self.option_reply(option).await;
            let last = reply.0 == REP_ACK || reply.0 >= 1 << 31;
            replies.push(reply);
            if last {
                return replies;
            }
        }
    }

    async fn final_reply(&mut self, option: u32, data: &[u8]) -> u32 {
        self.option(option, data).await.last().unwrap().0
    }

    async fn go(&mut self) -> Vec<(u32, Vec<u8>)> {
        self.option(7, &[0, 0, 0, 0, 0, 0]).await
    }

    async fn request(&mut self, flags: u16, kind: u16, cookie: u64, offset: u64, length: u32) {
        self.stream.write_all(&request(flags, kind, cookie, offset, length)).await.unwrap();
    }

    async fn simple_reply(&mut self) -> (u32, u64) {
        assert_eq!(self.stream.read_u32().await.unwrap(), 0x6744_6698);
        (self.stream.read_u32().await.unwrap(), self.stream.read_u64().await.unwrap())
    }

    async fn chunk(&mut self, cookie: u64) -> Chunk {
        assert_eq!(self.stream.read_u32().await.unwrap(), 0x668e_33ef);
        let done = self.stream.read_u16().await.unwrap() == 1;
        let kind = self.stream.read_u16().await.unwrap();
        assert_eq!(self.stream.read_u64().await.unwrap(), cookie);
        let length = self.stream.read_u32().await.unwrap();
        Chunk { done, kind, payload: self.take(length as usize).await }
    }

    async fn structured(device: impl BlockDevice + 'static) -> Self {
        Self::connect(Exports::single(Arc::new(device))).negotiated().await
    }

    async fn negotiated(mut self) -> Self {
        self.greet(3).await;
        assert_eq!(self.final_reply(8, &[]).await, REP_ACK);
        assert_eq!(self.final_reply(10, &meta_query("", &["base:allocation"])).await, REP_ACK);
        self.go().await;
        self
    }

    async fn finish(mut self) -> Result<()> {
        self.request(0, 2, 0, 0, 0).await;
        assert_eq!(self.stream.read(&mut [0]).await.unwrap(), 0);
        self.server.await.unwrap()
    }
}

fn request(flags: u16, kind: u16, cookie: u64, offset: u64, length: u32) -> Vec<u8> {
    let mut bytes = 0x2560_9513_u32.to_be_bytes().to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend(kind.to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
    bytes.extend(offset.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}

#[derive(Debug, PartialEq, Eq)]
struct Chunk {
    done: bool,
    kind: u16,
    payload: Vec<u8>,
}

impl Chunk {
    fn data(done: bool, offset: u64, data: &[u8]) -> Self {
        Self { done, kind: 1, payload: [&offset.to_be_bytes()[..], data].concat() }
    }

    fn hole(done: bool, offset: u64, length: u32) -> Self {
        Self { done, kind: 2, payload: [&offset.to_be_bytes()[..], &length.to_be_bytes()].concat() }
    }

    fn error(error: u32) -> Self {
        Self { done: true, kind: 0x8001, payload: [&error.to_be_bytes()[..], &[0, 0]].concat() }
    }

    fn status(extents: &[(u32, u32)]) -> Self {
        let entries = extents.iter().flat_map(|(length, flags)| [length.to_be_bytes(), flags.to_be_bytes()]);
        Self { done: true, kind: 5, payload: [vec![1_u32.to_be_bytes()], entries.collect()].concat().concat() }
    }
}

fn meta_query(export: &str, queries: &[&str]) -> Vec<u8> {
    let string = |text: &str| [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
    let mut data = string(export);
    data.extend((queries.len() as u32).to_be_bytes());
    queries.iter().for_each(|query| data.extend(string(query)));
    data
}

fn memory() -> MemoryDevice {
    MemoryDevice::new(&content())
}

#[tokio::test]
async fn go_describes_the_export_and_simple_reads_work() {
    let mut client = Client::greeted(memory()).await;
    let replies = client.go().await;
    let size = content().len() as u64;
    assert_eq!(replies[0], (3, [&[0, 0][..], &size.to_be_bytes(), &[0x01, 0x03]].concat()));
    assert_eq!(replies[1], (3, vec![0, 3, 0, 0, 0, 1, 0, 0, 0x10, 0, 2, 0, 0, 0]));
    client.request(0, 0, 42, BLOCK as u64 - 10, 30).await;
    assert_eq!(client.simple_reply().await, (0, 42));
    assert_eq!(client.take(30).await, [vec![1; 10], vec![0; 20]].concat());
    client.request(0, 0, 43, 4 * BLOCK as u64 - 5, 1005).await;
    assert_eq!(client.simple_reply().await, (0, 43));
    assert_eq!(client.take(1005).await, [vec![0; 5], vec![3; 1000]].concat());
    client.finish().await.unwrap();
}

#[tokio::test]
async fn structured_reads_tell_holes() {
    let mut client = Client::structured(memory()).await;
    client.request(0, 0, 7, 0, content().len() as u32).await;
    assert_eq!(client.chunk(7).await, Chunk::data(false, 0, &[1; BLOCK]));
    assert_eq!(client.chunk(7).await, Chunk::hole(false, 65536, 65536));
    assert_eq!(client.chunk(7).await, Chunk::data(false, 131_072, &[2; BLOCK]));
    assert_eq!(client.chunk(7).await, Chunk::hole(false, 196_608, 65536));
    assert_eq!(client.chunk(7).await, Chunk::data(true, 262_144, &[3; 1000]));
    client.request(0, 0, 8, 65536, 65536).await;
    assert_eq!(client.chunk(8).await, Chunk::hole(true, 65536, 65536));
    // Zeros too short to be worth a hole.
    client.request(0, 0, 9, 65526, 20).await;
    assert_eq!(client.chunk(9).await, Chunk::data(true, 65526, &[vec![1; 10], vec![0; 10]].concat()));
    // "Do not fragment".
    client.request(4, 0, 10, 65000, 2000).await;
    assert_eq!(client.chunk(10).await, Chunk::data(true, 65000, &[vec![1; 536], vec![0; 1464]].concat()));
    client.finish().await.unwrap();
}

#[tokio::test]
async fn block_status_lists_extents_and_honours_one() {
    let mut client = Client::structured(memory()).await;
    let block = BLOCK as u32;
    client.request(0, 7, 1, 0, content().len() as u32).await;
    assert_eq!(client.chunk(1).await, Chunk::status(&[(block, 0), (block, 3), (block, 0), (block, 3), (1000, 0)]));
    client.request(8, 7, 2, 100, content().len() as u32 - 100).await;
    assert_eq!(client.chunk(2).await, Chunk::status(&[(block - 100, 0)]));
    client.request(0, 7, 3, 100, 50).await;
    assert_eq!(client.chunk(3).await, Chunk::status(&[(50, 0)]));
    client.finish().await.unwrap();
}

#[tokio::test]
async fn block_status_without_its_context_is_an_error() {
    let mut client = Client::greeted(memory()).await;
    assert_eq!(client.final_reply(8, &[]).await, REP_ACK);
    client.go().await;
    client.request(0, 7, 1, 0, 100).await;
    assert_eq!(client.chunk(1).await, Chunk::error(EINVAL));
    client.finish().await.unwrap();
}

#[tokio::test]
async fn extended_headers_carry_everything() {
    let mut client = Client::greeted(memory()).await;
    assert_eq!(client.final_reply(11, &[]).await, REP_ACK);
    assert_eq!(client.final_reply(8, &[]).await, 0x8000_000a);
    assert_eq!(client.final_reply(10, &meta_query("", &["base:allocation"])).await, REP_ACK);
    client.go().await;
    let request = |flags: u16, kind: u16, offset: u64, length: u64| {
        let mut bytes = 0x21e4_1c71_u32.to_be_bytes().to_vec();
        bytes.extend(flags.to_be_bytes());
        bytes.extend(kind.to_be_bytes());
        [9, offset, length].iter().for_each(|number: &u64| bytes.extend(number.to_be_bytes()));
        bytes
    };
    let reply = |flags: u16, kind: u16, offset: u64, payload: &[u8]| {
        let mut bytes = 0x6e8a_278c_u32.to_be_bytes().to_vec();
        bytes.extend(flags.to_be_bytes());
        bytes.extend(kind.to_be_bytes());
        [9, offset, payload.len() as u64].iter().for_each(|number| bytes.extend(number.to_be_bytes()));
        [&bytes, payload].concat()
    };
    client.stream.write_all(&request(0, 0, 10, 4)).await.unwrap();
    let expected = reply(1, 1, 10, &[0, 0, 0, 0, 0, 0, 0, 10, 1, 1, 1, 1]);
    assert_eq!(client.take(expected.len()).await, expected);
    // A write with its data, refused, and the next request still understood.
    client.stream.write_all(&request(1 << 5, 1, 0, 5)).await.unwrap();
    client.stream.write_all(b"hello").await.unwrap();
    let expected = reply(1, 0x8001, 0, &[0, 0, 0, 1, 0, 0]);
    assert_eq!(client.take(expected.len()).await, expected);
    client.stream.write_all(&request(0, 7, 65536, 131_072)).await.unwrap();
    let numbers: Vec<u8> = [65536_u64, 3, 65536, 0].iter().flat_map(|number| number.to_be_bytes()).collect();
    let expected = reply(1, 6, 65536, &[&[0, 0, 0, 1, 0, 0, 0, 2], &numbers[..]].concat());
    assert_eq!(client.take(expected.len()).await, expected);
    client.stream.write_all(&request(0, 2, 0, 0)).await.unwrap();
    assert_eq!(client.stream.read(&mut [0]).await.unwrap(), 0);
    client.server.await.unwrap().unwrap();
}

#[tokio::test]
async fn writes_are_refused_and_their_data_skipped() {
    let mut client = Client::greeted(memory()).await;
    client.go().await;
    let data = vec![9; 300_000];
    client.request(0, 1, 1, 0, data.len() as u32).await;
    client.stream.write_all(&data).await.unwrap();
    assert_eq!(client.simple_reply().await, (EPERM, 1));
    for (kind, error) in [(4, EPERM), (6, EPERM), (3, 0), (5, EINVAL), (99, EINVAL)] {
        client.request(0, kind, 2, 0, 512).await;
        assert_eq!(client.simple_reply().await, (error, 2), "command {kind}");
    }
    client.request(0, 0, 3, 0, 1).await;
    assert_eq!(client.simple_reply().await, (0, 3));
    assert_eq!(client.take(1).await, [1]);
    client.finish().await.unwrap();
}

#[tokio::test]
async fn requests_outside_the_rules_are_errors() {
    let mut client = Client::structured(memory()).await;
    let size = content().len() as u64;
    for (flags, offset, length) in
        [(0, size, 1), (0, size - 1, 2), (0, u64::MAX, 1), (0, 0, 0), (0, 0, u32::MAX), (8, 0, 1), (1, 0, 1)]
    {
        client.request(flags, 0, 5, offset, length).await;
        assert_eq!(client.chunk(5).await, Chunk::error(EINVAL), "{flags} {offset} {length}");
    }
    client.finish().await.unwrap();
}

#[tokio::test]
async fn a_bad_request_magic_ends_the_connection() {
    let mut client = Client::structured(memory()).await;
    client.stream.write_all(&[0x11; 28]).await.unwrap();
    assert!(client.server.await.unwrap().unwrap_err().to_string().contains("no request"));
}

#[tokio::test]
async fn too_much_write_data_ends_the_connection() {
    let mut client = Client::structured(memory()).await;
    client.request(0, 1, 1, 0, u32::MAX).await;
    assert!(client.server.await.unwrap().unwrap_err().to_string().contains("too much data"));
}

#[tokio::test]
async fn options_are_answered_in_order_and_errors_leave_the_handshake_open() {
    let exports = Exports::default();
    for name in ["one", "two"] {
        exports.insert(Export { name: name.into(), description: String::new(), device: Arc::new(memory()) });
    }
    let mut client = Client::connect(exports);
    client.greet(3).await;
    assert_eq!(client.final_reply(77, b"what").await, REP_ERR_UNSUP);
    assert_eq!(client.final_reply(5, &[]).await, REP_ERR_UNSUP);
    let listed = client.option(3, &[]).await;
    assert_eq!(listed[0], (2, b"\0\0\0\x03one".to_vec()));
    assert_eq!(listed[1], (2, b"\0\0\0\x03two".to_vec()));
    assert_eq!(listed[2].0, REP_ACK);
    assert_eq!(client.final_reply(3, b"x").await, REP_ERR_INVALID);
    assert_eq!(client.final_reply(7, &[0, 0, 0, 0, 0, 0]).await, REP_ERR_UNKNOWN);
    assert_eq!(client.final_reply(7, b"\0\0\0\x05three\0\0").await, REP_ERR_UNKNOWN);
    assert_eq!(client.final_reply(7, b"\0\0").await, REP_ERR_INVALID);
    assert_eq!(client.final_reply(10, &meta_query("one", &["base:allocation"])).await, REP_ERR_INVALID);
    assert_eq!(client.final_reply(8, b"x").await, REP_ERR_INVALID);
    assert_eq!(client.final_reply(8, &[]).await, REP_ACK);
    assert_eq!(client.final_reply(8, &[]).await, REP_ERR_INVALID);
    assert_eq!(client.final_reply(10, &meta_query("three", &[])).await, REP_ERR_UNKNOWN);
    let context = (4, b"\0\0\0\0base:allocation".to_vec());
    for queries in [&[][..], &["base:"], &["x:y", "base:allocation"]] {
        assert_eq!(client.option(9, &meta_query("one", queries)).await[0], context);
    }
    assert_eq!(client.option(9, &meta_query("one", &["qemu:"])).await.len(), 1);
    assert_eq!(client.option(10, &meta_query("one", &["base:"])).await.len(), 1);
    assert_eq!(client.final_reply(2, &[]).await, REP_ACK);
    client.server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_context_for_another_export_does_not_count() {
    let exports = Exports::default();
    for name in ["one", "two"] {
        exports.insert(Export { name: name.into(), description: String::new(), device: Arc::new(memory()) });
    }
    let mut client = Client::connect(exports);
    client.greet(3).await;
    client.option(8, &[]).await;
    assert_eq!(client.option(10, &meta_query("one", &["base:allocation"])).await.len(), 2);
    assert_eq!(client.final_reply(7, b"\0\0\0\x03two\0\0").await, REP_ACK);
    client.request(0, 7, 1, 0, 100).await;
    assert_eq!(client.chunk(1).await, Chunk::error(EINVAL));
}

#[tokio::test]
async fn long_options_are_skipped_and_absurd_ones_hung_up_on() {
    let mut client = Client::greeted(memory()).await;
    assert_eq!(client.final_reply(7, &vec![0; 70_000]).await, REP_ERR_TOO_BIG);
    assert_eq!(client.go().await.last().unwrap().0, REP_ACK);
    let mut client = Client::greeted(memory()).await;
    let header = [&OPT_MAGIC.to_be_bytes()[..], &[0, 0, 0, 7], &[0xff; 4]].concat();
    client.stream.write_all(&header).await.unwrap();
    assert!(client.server.await.unwrap().is_err());
}

#[tokio::test]
async fn endless_options_are_hung_up_on() {
    let mut client = Client::greeted(memory()).await;
    for _ in 0..64 {
        assert_eq!(client.final_reply(77, &[]).await, REP_ERR_UNSUP);
    }
    assert!(client.server.await.unwrap().unwrap_err().to_string().contains("too many options"));
}

#[tokio::test]
async fn the_oldest_way_to_choose_an_export_works() {
    for (flags, padding) in [(3, 0), (1, 124)] {
        let mut client = Client::connect(Exports::single(Arc::new(memory())));
        client.greet(flags).await;
        client.send_option(1, b"").await;
        assert_eq!(client.stream.read_u64().await.unwrap(), content().len() as u64);
        assert_eq!(client.stream.read_u16().await.unwrap(), 0x0103);
        assert_eq!(client.take(padding).await, vec![0; padding]);
        client.finish().await.unwrap();
    }
    let mut client = Client::greeted(memory()).await;
    client.send_option(1, b"nothing").await;
    assert!(client.server.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_hung_up_on() {
    let client = Client::connect_by_pipe(memory());
    assert!(client.server.await.unwrap().unwrap_err().to_string().contains("too long"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_chosen_may_be_silent_for_long() {
    let mut client = Client::connect_by_pipe(memory()).negotiated().await;
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    client.request(0, 0, 1, 0, 1).await;
    assert_eq!(client.chunk(1).await, Chunk::data(true, 0, &[1]));
}

#[tokio::test]
async fn leaving_at_any_byte_of_the_handshake_is_survived() {
    let whole = [
        &3_u32.to_be_bytes()[..],
        &OPT_MAGIC.to_be_bytes(),
        &8_u32.to_be_bytes(),
        &0_u32.to_be_bytes(),
        &OPT_MAGIC.to_be_bytes(),
        &7_u32.to_be_bytes(),
        &6_u32.to_be_bytes(),
        &[0; 6],
        &[0x25, 0x60, 0x95, 0x13],
    ]
    .concat();
    for end in 0..=whole.len() {
        let mut client = Client::connect(Exports::single(Arc::new(memory())));
        client.stream.write_all(&whole[..end]).await.unwrap();
        drop(client.stream);
        let _ = client.server.await.unwrap();
    }
}

/// A device whose reads wait for permits, and which knows how many are under way.
struct Gate {
    permits: Arc<Semaphore>,
    under_way: Arc<AtomicU64>,
    fails: bool,
}

#[async_trait]
impl BlockDevice for Gate {
    fn size_bytes(&self) -> u64 {
        1 << 40
    }

    async fn read(&self, range_bytes: Range<u64>) -> Result<Vec<Part>> {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        self.permits.acquire().await.unwrap().forget();
        if self.fails {
            return Err(Error::io("read", std::io::ErrorKind::Other.into()));
        }
        Ok(vec![Part::Data(Bytes::from(vec![6; (range_bytes.end - range_bytes.start) as usize]))])
    }

    async fn extents(&self, _range_bytes: Range<u64>, _max_extents: usize) -> Result<Vec<Extent>> {
        Err(Error::Invalid("not asked for in these tests".into()))
    }

    fn stream(&self, _range_bytes: Range<u64>) -> BoxStream<'static, Result<Part>> {
        stream::empty().boxed()
    }
}

fn gate(fails: bool) -> (Gate, Arc<Semaphore>, Arc<AtomicU64>) {
    let permits = Arc::new(Semaphore::new(0));
    let under_way = Arc::new(AtomicU64::new(0));
    (Gate { permits: Arc::clone(&permits), under_way: Arc::clone(&under_way), fails }, permits, under_way)
}

async fn until(under_way: &AtomicU64, expected: u64) {
    while under_way.load(Ordering::SeqCst) < expected {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(under_way.load(Ordering::SeqCst), expected);
}

#[tokio::test]
async fn requests_under_way_are_bounded_in_number() {
    let (device, permits, under_way) = gate(false);
    let mut client = Client::structured(device).await;
    // Written at once: a socket's buffer holds many bytes in one piece, but few pieces.
    let requests: Vec<u8> = (0..1000).flat_map(|cookie| request(0, 0, cookie, cookie * 4096, 512)).collect();
    client.stream.write_all(&requests).await.unwrap();
    until(&under_way, 256).await;
    permits.add_permits(1000);
    let mut seen = vec![false; 1000];
    for _ in 0..1000 {
        let header = client.take(20).await;
        let cookie = u64::from_be_bytes(header[8..16].try_into().unwrap());
        assert!(!std::mem::replace(&mut seen[cookie as usize], true));
        assert_eq!(client.take(8 + 512).await[..8], (cookie * 4096).to_be_bytes());
    }
    client.finish().await.unwrap();
}

#[tokio::test]
async fn requests_under_way_are_bounded_in_bytes() {
    let (device, permits, under_way) = gate(false);
    let mut client = Client::structured(device).await;
    for cookie in 0..40 {
        client.request(0, 0, cookie, 0, 8 << 20).await;
    }
    until(&under_way, 2).await;
    permits.add_permits(40);
    for _ in 0..40 {
        client.take(20 + 8 + (8 << 20)).await;
    }
    client.finish().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_replies_is_not_read_from() {
    let mut client = Client::connect_by_pipe(MemoryDevice::new(&vec![5; 16 << 20])).negotiated().await;
    let request = [&0x2560_9513_u32.to_be_bytes()[..], &[0; 20], &(16_u32 << 20).to_be_bytes()].concat();
    // The pipe holds 1 MiB, so the server can take only as many requests as its bounds allow.
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_millis(200), client.stream.write_all(&request)).await.is_ok() {
        sent += 1;
        assert!(sent < 200_000, "the server takes requests without end");
    }
}

#[tokio::test]
async fn a_failing_disk_is_an_io_error() {
    let (device, permits, _) = gate(true);
    permits.add_permits(2);
    let mut client = Client::structured(device).await;
    client.request(0, 0, 1, 0, 512).await;
    assert_eq!(client.chunk(1).await, Chunk::error(EIO));
    client.request(0, 0, 2, 0, 512).await;
    assert_eq!(client.chunk(2).await, Chunk::error(EIO));
    client.finish().await.unwrap();
}

#[tokio::test]
async fn a_shutdown_answers_what_is_under_way() {
    let (device, permits, under_way) = gate(false);
    let mut client = Client::structured(device).await;
    client.request(0, 0, 1, 0, 4).await;
    until(&under_way, 1).await;
    client.cancel.cancel();
    tokio::task::yield_now().await;
    permits.add_permits(1);
    assert_eq!(client.chunk(1).await, Chunk::data(true, 0, &[6; 4]));
    assert_eq!(client.stream.read(&mut [0]).await.unwrap(), 0);
    client.server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_disconnect_answers_what_is_under_way() {
    let (device, permits, under_way) = gate(false);
    let mut client = Client::structured(device).await;
    client.request(0, 0, 1, 0, 4).await;
    client.request(0, 2, 2, 0, 0).await;
    until(&under_way, 1).await;
    permits.add_permits(1);
    assert_eq!(client.chunk(1).await, Chunk::data(true, 0, &[6; 4]));
    assert_eq!(client.stream.read(&mut [0]).await.unwrap(), 0);
    client.server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_is_dropped_hangs_up() {
    let (device, _permits, under_way) = gate(false);
    let mut client = Client::structured(device).await;
    client.request(0, 0, 1, 0, 4).await;
    until(&under_way, 1).await;
    client.server.abort();
    assert_eq!(client.stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_with_replies_under_way_is_let_go() {
    let (device, permits, under_way) = gate(false);
    let mut client = Client::structured(device).await;
    for cookie in 0..8 {
        client.request(0, 0, cookie, 0, 1 << 20).await;
    }
    until(&under_way, 8).await;
    client.stream.shutdown().await.unwrap();
    drop(client.stream);
    permits.add_permits(8);
    // Either it found that nobody takes its replies, or all fitted into the socket.
    let _ = client.server.await.unwrap();
}

#[tokio::test]
async fn cut_sessions_over_a_socket_end() {
    let good = good_session();
    for end in 0..=good.len() {
        drive(Client::connect(Exports::single(Arc::new(memory()))), &good[..end]).await;
    }
}

/// A session that goes well, as a client sends it: greeting, structured replies, context, GO, three requests, DISC.
fn good_session() -> Vec<u8> {
    let option = |option: u32, data: &[u8]| {
        [&OPT_MAGIC.to_be_bytes()[..], &option.to_be_bytes(), &(data.len() as u32).to_be_bytes(), data].concat()
    };
    let request = |kind: u16, offset: u64, length: u32| {
        let head = [&0x2560_9513_u32.to_be_bytes()[..], &[0, 0], &kind.to_be_bytes(), &[7; 8]].concat();
        [&head[..], &offset.to_be_bytes(), &length.to_be_bytes()].concat()
    };
    [
        3_u32.to_be_bytes().to_vec(),
        option(8, &[]),
        option(10, &meta_query("", &["base:allocation"])),
        option(7, &[0, 0, 0, 0, 0, 0]),
        request(0, 0, 100_000),
        request(7, 0, 200_000),
        request(1, 0, 4),
        vec![1, 2, 3, 4],
        request(2, 0, 0),
    ]
    .concat()
}

async fn drive(mut client: Client, sent: &[u8]) {
    let _ = client.stream.write_all(sent).await;
    client.stream.shutdown().await.unwrap();
    let mut received = Vec::new();
    client.stream.read_to_end(&mut received).await.unwrap();
    let _ = client.server.await.expect("the server does not panic");
}

#[tokio::test(start_paused = true)]
async fn damaged_sessions_end_without_a_panic() {
    let good = good_session();
    drive(Client::connect_by_pipe(memory()), &good).await;
    for seed in 0..3000_u64 {
        let mut damaged = good.clone();
        // A multiplicative generator is random enough to place a few bytes.
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for _ in 0..=seed % 3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % damaged.len();
            damaged[at] = [0, 0xff, 0x80, (state >> 20) as u8][(state >> 60) as usize % 4];
        }
        if seed % 7 == 0 {
            damaged.truncate((state >> 33) as usize % damaged.len());
        }
        drive(Client::connect_by_pipe(memory()), &damaged).await;
    }
}
