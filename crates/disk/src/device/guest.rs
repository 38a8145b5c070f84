//! An image file as a block device.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use futures::stream::BoxStream;
use galerie_store::{Extent, ExtentKind, GuestBytes, Part};

use super::{BlockDevice, check_range, length_bytes, push_extent, stream_by_reads};
use crate::{Error, Result};

/// An image file as a block device. Reads run on the blocking pool.
#[derive(Clone)]
pub struct GuestDevice {
    guest: Arc<dyn GuestBytes>,
}

impl GuestDevice {
    /// A device over `guest`.
    pub fn new(guest: Arc<dyn GuestBytes>) -> Self {
        Self { guest }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn GuestBytes) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let guest = Arc::clone(&self.guest);
        match galerie_store::blocking::run(move || work(&*guest)).await {
            Ok(result) => result,
            Err(error) => Err(Error::io("read disk on a worker thread", std::io::Error::other(error))),
        }
    }
}

#[async_trait]
impl BlockDevice for GuestDevice {
    fn size_bytes(&self) -> u64 {
        self.guest.virtual_size_bytes()
    }

    async fn read(&self, range_bytes: Range<u64>) -> Result<Vec<Part>> {
        check_range(self.size_bytes(), range_bytes.start, length_bytes(&range_bytes))?;
        self.blocking(move |guest| read_guest(guest, &range_bytes)).await
    }

    async fn extents(&self, range_bytes: Range<u64>, max_extents: usize) -> Result<Vec<Extent>> {
        check_range(self.size_bytes(), range_bytes.start, length_bytes(&range_bytes))?;
        self.blocking(move |guest| guest_extents(guest, range_bytes, max_extents)).await
    }

    fn stream(&self, range_bytes: Range<u64>) -> BoxStream<'static, Result<Part>> {
        stream_by_reads(self.clone(), range_bytes)
    }
}

fn read_guest(guest: &dyn GuestBytes, range: &Range<u64>) -> Result<Vec<Part>> {
    let length = usize::try_from(length_bytes(range))
        .map_err(|_| Error::Invalid(format!("{} bytes do not fit in memory", length_bytes(range))))?;
    let mut buffer = vec![0; length];
    guest.read_at(range.start, &mut buffer)?;
    if buffer.is_empty() {
        return Ok(Vec::new());
    }
    let zero = buffer.iter().all(|byte| *byte == 0);
    Ok(vec![if zero { Part::Zero(length_bytes(range)) } else { Part::Data(buffer.into()) }])
}

fn guest_extents(guest: &dyn GuestBytes, range: Range<u64>, max_extents: usize) -> Result<Vec<Extent>> {
    let mut extents: Vec<Extent> = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let data = guest.next_data(at)?.unwrap_or(range.end..range.end);
        let data = data.start.clamp(at, range.end)..data.end.clamp(at, range.end);
        push_extent(&mut extents, at..data.start, ExtentKind::Zero);
        push_extent(&mut extents, data.clone(), ExtentKind::Data);
        at = data.end;
        if extents.len() > max_extents {
            break;
        }
    }
    extents.truncate(max_extents);
    Ok(extents)
}
