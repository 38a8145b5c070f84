//! What an NBD client sends, from the first byte to the last.
#![no_main]

use std::sync::Arc;

use galerie_disk::{
    MemoryDevice,
    nbd::{Exports, serve_connection},
};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

/// More than a session can make the server send, so that neither side waits for the other.
const PIPE_BYTES: usize = 1 << 20;

fuzz_target!(|content: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be made");
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(PIPE_BYTES);
        let exports = Exports::single(Arc::new(MemoryDevice::new(&[7; 100_000])));
        let cancel = CancellationToken::new();
        let talk = async {
            // The server may hang up at any time; that is an answer too.
            let _ = client.write_all(content).await;
            let _ = client.shutdown().await;
            let _ = client.read_to_end(&mut Vec::new()).await;
        };
        let (_, ()) = tokio::join!(serve_connection(server, &exports, &cancel), talk);
    });
});
