//! A block device as guest bytes, for code that runs on threads of its own.

use std::{ops::Range, sync::Arc};

use galerie_store::{ExtentKind, GuestBytes, Part, chunking::SEGMENT_SIZE_BYTES};
use tokio::runtime::Handle;

use super::BlockDevice;

/// A block device that an import can read, such as the base under an overlay. Its methods block on the runtime; call
/// them from threads that are not the runtime's own.
#[derive(Clone)]
pub struct BlockingDevice {
    device: Arc<dyn BlockDevice>,
    runtime: Handle,
}

impl BlockingDevice {
    /// The guest bytes of `device`, whose reads run on `runtime`.
    pub fn new(device: Arc<dyn BlockDevice>, runtime: Handle) -> Self {
        Self { device, runtime }
    }
}

impl GuestBytes for BlockingDevice {
    fn virtual_size_bytes(&self) -> u64 {
        self.device.size_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> galerie_store::Result<()> {
        super::check_range(self.device.size_bytes(), offset_bytes, buf.len() as u64)?;
        let parts = self.runtime.block_on(self.device.read(offset_bytes..offset_bytes + buf.len() as u64))?;
        let mut rest = buf;
        for part in parts {
            // The parts add up to the range, by the device's promise.
            let (filled, left) = rest.split_at_mut(part.length_bytes() as usize);
            match part {
                Part::Data(bytes) => filled.copy_from_slice(&bytes),
                Part::Zero(_) => filled.fill(0),
            }
            rest = left;
        }
        Ok(())
    }

    fn next_data(&self, offset_bytes: u64) -> galerie_store::Result<Option<Range<u64>>> {
        let mut at = offset_bytes;
        while at < self.device.size_bytes() {
            // A segment at a time, as the store keeps them.
            let end = ((at / SEGMENT_SIZE_BYTES + 1) * SEGMENT_SIZE_BYTES).min(self.device.size_bytes());
            let extents = self.runtime.block_on(self.device.extents(at..end, 2))?;
            if let Some(data) = extents.into_iter().find(|extent| extent.kind == ExtentKind::Data) {
                return Ok(Some(data.range_bytes));
            }
            at = end;
        }
        Ok(None)
    }
}
