//! The bytes of an exported file, as a stream or into a sparse file.

use std::{fs::File, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{
    Stream,
    stream::{self, BoxStream, StreamExt, TryStreamExt},
};
use galerie_store::{Part, direct::DirectWriter};
use tokio::task::JoinHandle;

use super::layout::ExportLayout;
use crate::{BlockDevice, Error, Result, device::check_range};

/// Zeros come in pieces of at most this size, all of them the same memory.
const ZEROS: &[u8] = &[0; 64 * 1024];
/// How much is handed to a writing thread at once.
const WRITE_BYTES: u64 = 4 << 20;

impl ExportLayout {
    /// The bytes of `range_bytes` of the file, in order, exactly as many as the range is long. `device` must be the
    /// disk that the layout was made for.
    ///
    /// Reads ahead within a bound; dropping the stream stops the reads.
    ///
    /// # Errors
    /// `Invalid` when the range is not inside the file or the device is of another size. The stream ends at the first
    /// failing read.
    pub fn stream(
        &self,
        device: &dyn BlockDevice,
        range_bytes: Range<u64>,
    ) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
        let parts = self.parts(device, range_bytes)?;
        Ok(parts.map_ok(|part| stream::iter(part_bytes(part)).map(Ok)).try_flatten())
    }

    /// Writes the whole file into `file`, which must be empty and nobody else's; zeros become holes. Goes past the page cache where
    /// that can be done. Not synced to disk.
    ///
    /// # Errors
    /// As [`ExportLayout::stream`], and `Io` when the file cannot be written.
    pub async fn write_to(&self, device: &dyn BlockDevice, file: Arc<File>) -> Result<()> {
        file.set_len(self.length_bytes()).map_err(|error| Error::io("size the exported file", error))?;
        let mut parts = self.parts(device, 0..self.length_bytes())?;
        let mut writer = FileWriter { next: Batch::default(), turn: Turn::Idle(DirectWriter::new(file)) };
        while let Some(part) = parts.try_next().await? {
            writer.take(part).await?;
        }
        writer.finish().await
    }

    /// The file's content in `range_bytes`: the disk's, padding, footer.
    fn parts(&self, device: &dyn BlockDevice, range_bytes: Range<u64>) -> Result<BoxStream<'static, Result<Part>>> {
        let length_bytes = range_bytes.end.saturating_sub(range_bytes.start);
        check_range(self.length_bytes(), range_bytes.start, length_bytes)?;
        if device.size_bytes() != self.disk_size_bytes() {
            return Err(Error::Invalid(format!(
                "the layout is for a disk of {} bytes, not {}",
                self.disk_size_bytes(),
                device.size_bytes()
            )));
        }
        let after = stream::iter(self.after_disk(&range_bytes).map(Ok));
        let disk = intersection(&range_bytes, 0..self.disk_size_bytes());
        Ok(if disk.is_empty() { after.boxed() } else { device.stream(disk).chain(after).boxed() })
    }

    /// The padding and the footer, as far as the range wants them.
    fn after_disk(&self, range_bytes: &Range<u64>) -> impl Iterator<Item = Part> + Send + use<> {
        let padding = intersection(range_bytes, self.disk_size_bytes()..self.body_bytes());
        let footer = intersection(range_bytes, self.body_bytes()..self.length_bytes());
        let zeros = (!padding.is_empty()).then(|| Part::Zero(padding.end - padding.start));
        let footer = (!footer.is_empty()).then(|| {
            let in_footer = (footer.start - self.body_bytes()) as usize..(footer.end - self.body_bytes()) as usize;
            Part::Data(Bytes::copy_from_slice(&self.footer()[in_footer]))
        });
        zeros.into_iter().chain(footer)
    }
}

fn intersection(left: &Range<u64>, right: Range<u64>) -> Range<u64> {
    left.start.max(right.start)..left.end.min(right.end)
}

/// A part as bytes; zeros in slices of one static block.
fn part_bytes(part: Part) -> impl Iterator<Item = Bytes> + Send {
    let (data, mut zeros) = match part {
        Part::Data(bytes) => (Some(bytes), 0),
        Part::Zero(length) => (None, length),
    };
    let zeros = std::iter::from_fn(move || {
        let length = zeros.min(ZEROS.len() as u64);
        zeros -= length;
        (length > 0).then(|| Bytes::from_static(&ZEROS[..length as usize]))
    });
    data.into_iter().chain(zeros)
}

/// Writes batches on the blocking pool, one while the next is read.
struct FileWriter {
    next: Batch,
    turn: Turn,
}

/// Who has the file.
enum Turn {
    Idle(DirectWriter<Arc<File>>),
    Writing(JoinHandle<std::io::Result<DirectWriter<Arc<File>>>>),
    /// Nobody: writing failed.
    Failed,
}

/// Data and where it goes.
#[derive(Default)]
struct Batch {
    data: Vec<(u64, Bytes)>,
    data_bytes: u64,
    /// Where the next part goes.
    end_bytes: u64,
}

impl FileWriter {
    async fn take(&mut self, part: Part) -> Result<()> {
        let at = self.next.end_bytes;
        self.next.end_bytes += part.length_bytes();
        if let Part::Data(bytes) = part {
            self.next.data_bytes += bytes.len() as u64;
            self.next.data.push((at, bytes));
        }
        if self.next.data_bytes >= WRITE_BYTES { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<()> {
        let mut writer = self.idle().await?;
        let batch = Batch { end_bytes: self.next.end_bytes, ..Batch::default() };
        let batch = std::mem::replace(&mut self.next, batch);
        self.turn = Turn::Writing(tokio::task::spawn_blocking(move || {
            batch.data.iter().try_for_each(|(at, bytes)| writer.write_at(bytes, *at))?;
            Ok(writer)
        }));
        Ok(())
    }

    /// Waits for what is being written.
    async fn idle(&mut self) -> Result<DirectWriter<Arc<File>>> {
        let written = match std::mem::replace(&mut self.turn, Turn::Failed) {
            Turn::Idle(writer) => Ok(writer),
            Turn::Writing(writing) => writing.await.map_err(std::io::Error::other).flatten(),
            Turn::Failed => Err(std::io::Error::other("an earlier part was not written")),
        };
        written.map_err(not_written)
    }

    async fn finish(mut self) -> Result<()> {
        self.write().await?;
        let writer = self.idle().await?;
        let finished = tokio::task::spawn_blocking(move || writer.finish()).await;
        finished.map_err(std::io::Error::other).flatten().map_err(not_written)
    }
}

fn not_written(error: std::io::Error) -> Error {
    Error::io("write the exported file", error)
}
