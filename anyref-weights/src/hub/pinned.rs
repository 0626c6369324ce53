//! One file of any address, whose content the program knows by its size and SHA-256.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::{Agent, AgentBuilder};

use super::checksum::sha256;
use super::retries::{Retries, may_pass, may_reconnect};
use crate::error::{Error, Result, one_line};

/// Time in which a connection has to be made, and the next bytes have to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Retries in a row without anything new.
const RETRIES: u32 = 3;
/// Bytes read at a time.
const CHUNK: usize = 1 << 16;

/// File at an address, with the size and checksum that its content must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedFile<'a> {
    /// Address: `https://…` or `http://…`.
    pub address: &'a str,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 in lower-case hexadecimal digits.
    pub sha256: &'a str,
}

impl PinnedFile<'_> {
    /// Returns whether the file is at `path` already, by its size. Its content was checked when it
    /// was downloaded.
    pub fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == self.size)
    }

    /// Fetches the file to `path`, unless it is there. A download that broke off goes on where it
    /// stopped, also in another process; of several processes one fetches and the others wait.
    ///
    /// # Errors
    /// [`Error::Fetch`] when there is no answer, or another content; [`Error::Io`] when the folder
    /// cannot be written. A download with another content is removed.
    pub fn fetch(&self, path: &Path) -> Result<()> {
        if self.is_at(path) {
            return Ok(());
        }
        let part = partial(path);
        let written = |source| Error::io(&part, source);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
        }
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&part)
            .map_err(written)?;
        file.lock().map_err(written)?;
        // Another process may have been quicker.
        if self.is_at(path) {
            return Ok(());
        }
        self.download(&mut file, path, &part)?;
        file.sync_all().map_err(written)?;
        // By the same handle: where locks bind, no other may read.
        let found = file.rewind().and_then(|()| sha256(&mut file));
        let found = found.map_err(written)?;
        if found != self.sha256 {
            let _ = fs::remove_file(&part);
            return Err(self.failed(
                path,
                &format!("its SHA-256 is {found} and not {}", self.sha256),
            ));
        }
        fs::rename(&part, path).map_err(|source| Error::io(path, source))
    }

    /// Appends what the file lacks.
    fn download(&self, file: &mut File, path: &Path, part: &Path) -> Result<()> {
        let written = |source| Error::io(part, source);
        let agent = AgentBuilder::new()
            .try_proxy_from_env(true)
            .timeout_connect(PATIENCE)
            .timeout_read(PATIENCE)
            .build();
        let mut retries = Retries::new(RETRIES);
        loop {
            let mut length = file.seek(SeekFrom::End(0)).map_err(written)?;
            if length > self.size {
                empty(file).map_err(written)?;
                length = 0;
            }
            if length == self.size {
                return Ok(());
            }
            let broken = match self.request(&agent, length) {
                Ok(answer) => {
                    if answer.first != length {
                        empty(file).map_err(written)?;
                    }
                    let most = self.size - answer.first;
                    match append(answer.body, most, file) {
                        Ok(()) => {
                            return self.check_length(file, path, part);
                        }
                        Err(Broken::Disk(source)) => return Err(Error::io(part, source)),
                        Err(Broken::Network(error)) => (may_reconnect(&error), error.to_string()),
                    }
                }
                Err(error) => (may_pass(&error), reason(&error)),
            };
            if file.seek(SeekFrom::End(0)).map_err(written)? > length {
                retries.restart();
            }
            let (may_help, reason) = broken;
            if !may_help || !retries.again() {
                return Err(self.failed(path, &reason));
            }
        }
    }

    /// Asks for the file from its byte `first` on.
    fn request(&self, agent: &Agent, first: u64) -> Result<Answer, Box<ureq::Error>> {
        let answer = agent
            .get(self.address)
            .set("Range", &format!("bytes={first}-"))
            .call()?;
        // Some give the whole all the same.
        let first = if answer.status() == 206 { first } else { 0 };
        Ok(Answer {
            first,
            body: Box::new(answer.into_reader()),
        })
    }

    /// Refuses and removes a content of another length.
    fn check_length(&self, file: &mut File, path: &Path, part: &Path) -> Result<()> {
        let found = file
            .seek(SeekFrom::End(0))
            .map_err(|source| Error::io(part, source))?;
        if found == self.size {
            return Ok(());
        }
        let _ = fs::remove_file(part);
        let more = if found > self.size { "more than " } else { "" };
        let found = found.min(self.size);
        let expected = self.size;
        Err(self.failed(
            path,
            &format!("it has {more}{found} bytes and not {expected}"),
        ))
    }

    fn failed(&self, path: &Path, reason: &str) -> Error {
        Error::Fetch {
            address: self.address.into(),
            path: path.to_owned(),
            reason: one_line(reason),
        }
    }
}

/// Body of an answer, and the byte of the file that it begins with.
struct Answer {
    first: u64,
    body: Box<dyn Read>,
}

/// Side on which a copy broke off.
enum Broken {
    Network(io::Error),
    Disk(io::Error),
}

/// Copies what comes, at most one byte more than `most`.
fn append(body: impl Read, most: u64, file: &mut File) -> Result<(), Broken> {
    let mut body = body.take(most + 1);
    let mut chunk = vec![0; CHUNK];
    loop {
        match body.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => file.write_all(&chunk[..read]).map_err(Broken::Disk)?,
            Err(error) => return Err(Broken::Network(error)),
        }
    }
}

/// Takes a file's content away, to write from its beginning.
fn empty(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()
}

/// A request's failure without the address, which the message has already.
fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Status(status, _) => format!("status {status}"),
        ureq::Error::Transport(transport) => transport
            .message()
            .map_or_else(|| transport.kind().to_string(), str::to_owned),
    }
}

/// The file beside `path` that a download grows in.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}
