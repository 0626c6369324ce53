//! Local hub server, which answers the requests of hub clients and can break off or damage answers.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

/// Size from which files are redirected to another address, as the real hub does with large files.
const LARGE: usize = 1000;

/// HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub path: String,
    /// First and, if given, last byte of the requested range.
    pub range: Option<(usize, Option<usize>)>,
    pub token: Option<String>,
}

/// Repository at one revision.
#[derive(Debug, Clone, Default)]
pub struct Repository {
    pub commit: String,
    pub files: BTreeMap<String, Vec<u8>>,
    /// Token required for reading; `None` for a public repository.
    pub token: Option<String>,
}

impl Repository {
    pub fn new(commit: &str, files: &[(&str, &[u8])]) -> Self {
        let file = |(name, content): &(&str, &[u8])| ((*name).to_owned(), content.to_vec());
        Self {
            commit: commit.repeat(5),
            files: files.iter().map(file).collect(),
            token: None,
        }
    }

    /// The files of a folder, without those of folders inside.
    pub fn of_folder(commit: &str, folder: &Path) -> Self {
        let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap());
        let files = entries.filter(|entry| entry.path().is_file()).map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        });
        Self {
            commit: commit.repeat(5),
            files: files.collect(),
            token: None,
        }
    }
}

#[derive(Default)]
struct State {
    /// Repositories by `org/name@revision`.
    repositories: Mutex<BTreeMap<String, Repository>>,
    requests: Mutex<Vec<Request>>,
    /// Byte counts after which the next answers with each file's content break off.
    cuts: Mutex<BTreeMap<String, VecDeque<usize>>>,
    /// Files whose next answer is damaged.
    damages: Mutex<BTreeMap<String, Damage>>,
    stop: AtomicBool,
}

/// Damage of the content in the next whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// One byte is changed.
    Byte,
    /// The last byte is missing, and the answer's own length agrees with it.
    Length,
}

/// Running server; it stops when dropped.
pub struct HubServer {
    address: String,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl HubServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State::default());
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stop.load(Ordering::SeqCst) {
                    break;
                }
                let shared = shared.clone();
                std::thread::spawn(move || shared.serve(&stream));
            }
        });
        Self {
            address,
            state,
            thread: Some(thread),
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Variables by which a program asks this hub and no other, with its cache in `home`; empty
    /// ones are to be removed.
    pub fn environment(&self, home: &Path) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("HF_HOME", home.display().to_string()),
            ("HF_ENDPOINT", self.endpoint()),
        ];
        let removed = [
            "HF_HUB_OFFLINE",
            "HF_TOKEN",
            "HUGGING_FACE_HUB_TOKEN",
            "HF_TOKEN_PATH",
            "HF_HUB_CACHE",
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
            "all_proxy",
        ];
        variables.extend(removed.map(|name| (name, String::new())));
        variables
    }

    /// Publishes a revision, which is also available by its commit.
    pub fn publish(&self, name: &str, revision: &str, repository: Repository) {
        let mut all = self.state.repositories.lock().unwrap();
        all.insert(format!("{name}@{}", repository.commit), repository.clone());
        all.insert(format!("{name}@{revision}"), repository);
    }

    /// Breaks off the next answers with a file's content after the given numbers of bytes.
    pub fn cut(&self, file: &str, after: &[usize]) {
        let mut cuts = self.state.cuts.lock().unwrap();
        cuts.insert(file.into(), after.iter().copied().collect());
    }

    /// Damages the next answer with a file's content.
    pub fn damage(&self, file: &str, damage: Damage) {
        let mut damages = self.state.damages.lock().unwrap();
        damages.insert(file.into(), damage);
    }

    /// Requests since the last call.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.requests.lock().unwrap())
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

impl State {
    fn serve(&self, stream: &TcpStream) {
        let Some(request) = read(stream) else { return };
        self.requests.lock().unwrap().push(request.clone());
        let path = request.path.split('?').next().unwrap();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match parts[..] {
            ["api", "models", org, name, "revision", revision] => {
                match self.find(org, name, revision, &request) {
                    Ok(repository) => {
                        answer(stream, "200 OK", &[], listing(&repository).as_bytes())
                    }
                    Err(status) => answer(stream, status, &[], b"{\"error\": \"no\"}"),
                }
            }
            [org, name, "resolve", revision, ..] => {
                let file = parts[4..].join("/");
                let found = self
                    .find(org, name, revision, &request)
                    .and_then(|repository| {
                        let content = repository.files.get(&file).cloned();
                        Ok((content.ok_or("404 Not Found")?, repository.commit))
                    });
                match found {
                    Ok((content, commit)) => {
                        self.resolve(stream, &request, &file, &content, &commit)
                    }
                    Err(status) => answer(stream, status, &[], b"Entry not found"),
                }
            }
            ["cdn", ..] => {
                // The address alone grants access here, and no token may be sent; hf-hub sends one
                // when it asks for the length, though.
                if request.token.is_some() && request.range != Some((0, Some(0))) {
                    return answer(
                        stream,
                        "400 Bad Request",
                        &[],
                        b"a token at another address",
                    );
                }
                let tag = parts[1];
                let content = self
                    .repositories
                    .lock()
                    .unwrap()
                    .values()
                    .find_map(|repository| {
                        let mut files = repository.files.iter();
                        files
                            .find(|(_, content)| hash(content) == tag)
                            .map(|(n, c)| (n.clone(), c.clone()))
                    });
                match content {
                    Some((file, content)) => self.content(stream, &request, &file, &content, &[]),
                    None => answer(stream, "404 Not Found", &[], b""),
                }
            }
            _ => answer(stream, "404 Not Found", &[], b"no such page"),
        }
    }

    fn find(
        &self,
        org: &str,
        name: &str,
        revision: &str,
        request: &Request,
    ) -> Result<Repository, &'static str> {
        let key = format!("{org}/{name}@{}", revision.replace("%2F", "/"));
        let found = self.repositories.lock().unwrap().get(&key).cloned();
        match found {
            // The real hub does not reveal to anonymous clients which repositories exist.
            None if request.token.is_none() && org == "secret" => Err("401 Unauthorized"),
            None => Err("404 Not Found"),
            Some(found) => match (&found.token, &request.token) {
                (None, _) => Ok(found),
                (Some(_), None) => Err("401 Unauthorized"),
                (Some(right), Some(given)) if right == given => Ok(found),
                _ => Err("403 Forbidden"),
            },
        }
    }

    fn resolve(
        &self,
        stream: &TcpStream,
        request: &Request,
        file: &str,
        content: &[u8],
        commit: &str,
    ) {
        let tag = hash(content);
        let commit = format!("X-Repo-Commit: {commit}");
        if content.len() < LARGE {
            let headers = [commit, format!("ETag: \"{tag}\"")];
            return self.content(stream, request, file, content, &headers);
        }
        // `localhost` counts as another host than the number, like the real hub's storage.
        let port = stream.local_addr().unwrap().port();
        let headers = [
            commit,
            format!("X-Linked-ETag: \"{tag}\""),
            format!("X-Linked-Size: {}", content.len()),
            format!("Location: http://localhost:{port}/cdn/{tag}"),
        ];
        answer(stream, "302 Found", &headers, b"");
    }

    fn content(
        &self,
        stream: &TcpStream,
        request: &Request,
        file: &str,
        content: &[u8],
        headers: &[String],
    ) {
        let mut headers = headers.to_vec();
        let damage = match request.range {
            // A request of one byte, for the length, precedes the content.
            Some((0, Some(0))) => self.damages.lock().unwrap().get(file).copied(),
            _ => self.damages.lock().unwrap().remove(file),
        };
        let content = &match damage {
            None => content.to_vec(),
            Some(Damage::Byte) => {
                let mut content = content.to_vec();
                let last = content.len() - 1;
                content[last] ^= 1;
                content
            }
            Some(Damage::Length) => content[..content.len() - 1].to_vec(),
        }[..];
        let Some((first, last)) = request.range else {
            return answer(stream, "200 OK", &headers, content);
        };
        if first >= content.len() {
            headers.push(format!("Content-Range: bytes */{}", content.len()));
            return answer(stream, "416 Range Not Satisfiable", &headers, b"");
        }
        let last = last.unwrap_or(usize::MAX).min(content.len() - 1);
        headers.push(format!(
            "Content-Range: bytes {first}-{last}/{}",
            content.len()
        ));
        let body = &content[first..=last];
        let head = head("206 Partial Content", &headers, body.len());
        // A request of one byte, for the length, is always answered.
        let cut = match last - first {
            0 => None,
            _ => self
                .cuts
                .lock()
                .unwrap()
                .get_mut(file)
                .and_then(VecDeque::pop_front),
        };
        let body = &body[..cut.unwrap_or(body.len()).min(body.len())];
        send(stream, &[head.as_bytes(), body].concat());
    }
}

/// Reads a request's first line and headers.
fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let (mut range, mut token) = (None, None);
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
                range = Some((first.parse().ok()?, last.parse().ok()));
            }
            "authorization" => token = value.strip_prefix("Bearer ").map(str::to_owned),
            _ => {}
        }
    }
    Some(Request { path, range, token })
}

fn head(status: &str, headers: &[String], length: usize) -> String {
    let headers: String = headers
        .iter()
        .map(|header| format!("{header}\r\n"))
        .collect();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n")
}

fn answer(stream: &TcpStream, status: &str, headers: &[String], body: &[u8]) {
    send(
        stream,
        &[head(status, headers, body.len()).as_bytes(), body].concat(),
    );
}

fn send(mut stream: &TcpStream, bytes: &[u8]) {
    // The client may have closed the connection.
    let _ = stream.write_all(bytes);
    let _ = stream.flush();
    let _ = stream.shutdown(Shutdown::Write);
}

/// JSON of the hub's API about a repository.
fn listing(repository: &Repository) -> String {
    let entry = |(name, content): (&String, &Vec<u8>)| {
        let (size, tag) = (content.len(), hash(content));
        match size < LARGE {
            true => serde_json::json!({"rfilename": name, "size": size, "blobId": tag}),
            false => serde_json::json!({"rfilename": name, "size": size, "blobId": "00000000",
                "lfs": {"sha256": tag, "size": size, "pointerSize": 134}}),
        }
    };
    let siblings: Vec<_> = repository.files.iter().map(entry).collect();
    serde_json::json!({"sha": repository.commit, "private": false, "siblings": siblings})
        .to_string()
}

/// SHA-256, which the real hub uses for large files; the tag of small ones is another hash.
pub fn hash(content: &[u8]) -> String {
    format!("{:x}", Sha256::digest(content))
}
