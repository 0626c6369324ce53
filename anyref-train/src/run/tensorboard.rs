//! TensorBoard's event files: TFRecords of `tensorflow.Event` messages with scalars.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyref_weights::protobuf::Message;

/// Prefix of the names of event files.
const PREFIX: &str = "events.out.tfevents.";
/// Version in the first event of a file.
const VERSION: &str = "brain.Event:2";

/// Writer of the only event file of a folder.
#[derive(Debug)]
pub struct EventFile<W: Write = BufWriter<File>> {
    sink: W,
}

impl EventFile {
    /// Begins a new file in `folder`, replacing existing ones.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(PREFIX) {
                fs::remove_file(path)?;
            }
        }
        let now = seconds();
        let file = File::create(folder.join(format!("{PREFIX}{now:.0}.anyref")))?;
        Self::new(BufWriter::new(file), now)
    }
}

impl<W: Write> EventFile<W> {
    /// Writes events to `sink`, beginning at `time` in seconds since 1970.
    fn new(sink: W, time: f64) -> io::Result<Self> {
        let mut file = Self { sink };
        let mut event = Message::default();
        event.double(1, time);
        event.bytes(3, VERSION.as_bytes());
        file.record(event.as_bytes())?;
        Ok(file)
    }

    /// Writes the scalars of a step, by tag, with the current time.
    ///
    /// # Errors
    /// When the disk is full or the file is gone.
    pub fn scalars<'a>(
        &mut self,
        step: u64,
        scalars: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> io::Result<()> {
        self.scalars_at(seconds(), step, scalars)
    }

    fn scalars_at<'a>(
        &mut self,
        time: f64,
        step: u64,
        scalars: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> io::Result<()> {
        let mut summary = Message::default();
        for (tag, value) in scalars {
            let mut scalar = Message::default();
            scalar.bytes(1, tag.as_bytes());
            scalar.float(2, value as f32);
            summary.bytes(1, scalar.as_bytes());
        }
        let mut event = Message::default();
        event.double(1, time);
        event.integer(2, step);
        event.bytes(5, summary.as_bytes());
        self.record(event.as_bytes())
    }

    /// Flushes buffered events to the operating system.
    ///
    /// # Errors
    /// As [`scalars`](Self::scalars).
    pub fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }

    /// Writes a TFRecord: the length, its checksum, the data, their checksum.
    fn record(&mut self, data: &[u8]) -> io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        self.sink.write_all(&length)?;
        self.sink.write_all(&masked_crc(&length).to_le_bytes())?;
        self.sink.write_all(data)?;
        self.sink.write_all(&masked_crc(data).to_le_bytes())
    }
}

fn seconds() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |time| time.as_secs_f64())
}

/// Table for bytewise CRC-32C.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// CRC-32C, masked (rotated and offset) as in TFRecords.
fn masked_crc(data: &[u8]) -> u32 {
    let crc = !data.iter().fold(!0u32, |crc, &byte| {
        TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8
    });
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two events as written by tensorboard's own record writer.
    const EXPECTED: &str = "1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a32\
        2b3531103b000000000000001a23ac5c0900005040fc54d94110ac022a2d0a150a0e73616d2f747261696e2f646963\
        65150000c03e0a140a0d73616d2f747261696e2f626365150000003ebd83d2ea";

    #[test]
    fn events_are_those_of_tensorboard() {
        let mut file = EventFile::new(Vec::new(), 1_700_000_000.5).unwrap();
        let scalars = [("sam/train/dice", 0.375), ("sam/train/bce", 0.125)];
        file.scalars_at(1_700_000_001.25, 300, scalars).unwrap();
        let found: String = file.sink.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, EXPECTED);
    }

    #[test]
    fn a_folder_has_one_event_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("events.out.tfevents.1.old"), "").unwrap();
        let mut file = EventFile::create(folder.path()).unwrap();
        file.scalars(1, [("a", 1.0)]).unwrap();
        file.flush().unwrap();
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1);
        assert!(names[0].as_ref().unwrap().metadata().unwrap().len() > 50);
    }
}
