//! Compressed clusters: one stream each, decompressed into exactly one cluster.
//!
//! The output buffer is the bound: neither decoder can write past it. A zstd frame that asks for a larger window than
//! any encoder uses for a cluster is refused, because the window is memory too.

use std::sync::{Mutex, PoisonError};

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::header::Compression;

/// The largest zstd window taken: 8 MiB, four times the largest cluster.
const MAX_ZSTD_WINDOW_LOG: u32 = 23;
/// Idle decoders kept; more than there are import threads would only hold memory.
const MAX_IDLE_DECODERS: usize = 16;

/// Decoders for one image, reused across clusters and threads.
pub(super) struct Decompressor {
    compression: Compression,
    idle: Mutex<Vec<ClusterDecoder>>,
}

enum ClusterDecoder {
    Deflate(Box<Decompress>),
    Zstd(Box<Decoder<'static>>),
}

impl Decompressor {
    pub(super) fn new(compression: Compression) -> Self {
        Self { compression, idle: Mutex::default() }
    }

    /// Decompresses `input` until `output` is full. What follows the stream in the last sector is ignored.
    ///
    /// # Errors
    /// Says what is wrong with the stream, for the caller to add where it lies.
    pub(super) fn run(&self, input: &[u8], output: &mut [u8]) -> Result<(), String> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut decoder = match idle {
            Some(decoder) => decoder,
            None => ClusterDecoder::new(self.compression).map_err(|error| error.to_string())?,
        };
        decoder.run(input, output)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE_DECODERS {
            idle.push(decoder);
        }
        Ok(())
    }
}

impl ClusterDecoder {
    fn new(compression: Compression) -> std::io::Result<Self> {
        match compression {
            Compression::Deflate => Ok(Self::Deflate(Box::new(Decompress::new(false)))),
            Compression::Zstd => {
                let mut decoder = Decoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(MAX_ZSTD_WINDOW_LOG))?;
                Ok(Self::Zstd(Box::new(decoder)))
            }
        }
    }

    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<(), String> {
        let (wanted, got) = match self {
            Self::Deflate(decoder) => inflate(decoder, input, output)?,
            Self::Zstd(decoder) => unzstd(decoder, input, output)?,
        };
        if got < wanted {
            return Err(format!("the compressed stream ends after {got} of {wanted} bytes"));
        }
        Ok(())
    }
}

fn inflate(decoder: &mut Decompress, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), String> {
    decoder.reset(false);
    loop {
        let (read, written) = (decoder.total_in() as usize, decoder.total_out() as usize);
        let status = decoder
            .decompress(&input[read..], &mut output[written..], FlushDecompress::Finish)
            .map_err(|error| format!("the deflate stream is damaged: {error}"))?;
        let progress = decoder.total_in() as usize > read || decoder.total_out() as usize > written;
        let filled = decoder.total_out() as usize;
        if status == Status::StreamEnd || filled == output.len() || !progress {
            return Ok((output.len(), filled));
        }
    }
}

fn unzstd(decoder: &mut Decoder<'static>, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), String> {
    decoder.reinit().map_err(|error| error.to_string())?;
    let wanted = output.len();
    let mut input = InBuffer::around(input);
    let mut output = OutBuffer::around(output);
    loop {
        let (read, written) = (input.pos(), output.pos());
        let hint =
            decoder.run(&mut input, &mut output).map_err(|error| format!("the zstd frame is damaged: {error}"))?;
        let progress = input.pos() > read || output.pos() > written;
        if hint == 0 || output.pos() == wanted || !progress {
            return Ok((wanted, output.pos()));
        }
    }
}
