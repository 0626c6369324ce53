//! Files of an address and a content that are known.
#![cfg(feature = "hub")]

#[path = "common/hub_server.rs"]
mod hub_server;

use std::fs;
use std::path::PathBuf;
use std::thread;

use anyref_weights::hub::PinnedFile;
use hub_server::{Damage, HubServer, Repository, hash};
use tempfile::TempDir;

struct Test {
    server: HubServer,
    folder: TempDir,
    content: Vec<u8>,
    address: String,
    sha256: String,
}

impl Test {
    fn new() -> Self {
        let content: Vec<u8> = (0..300_000_u32)
            .map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        let server = HubServer::start();
        server.publish(
            "org/releases",
            "v1",
            Repository::new("c0ffee00", &[("a.bin", &content)]),
        );
        Self {
            address: format!("{}/org/releases/resolve/v1/a.bin", server.endpoint()),
            server,
            folder: tempfile::tempdir().unwrap(),
            sha256: hash(&content),
            content,
        }
    }

    fn file(&self) -> PinnedFile<'_> {
        PinnedFile {
            address: &self.address,
            size: self.content.len() as u64,
            sha256: &self.sha256,
        }
    }

    /// A place whose folder is not there yet.
    fn path(&self) -> PathBuf {
        self.folder.path().join("cache/a.bin")
    }

    /// Names beside the file.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join("cache")).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The one line of a failure.
    fn refusal(&self, file: &PinnedFile<'_>) -> String {
        let message = file.fetch(&self.path()).unwrap_err().to_string();
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(
            message.contains(file.address) && message.contains("cache"),
            "{message}"
        );
        assert!(!self.path().exists());
        message
    }
}

#[test]
fn a_file_is_fetched_once() {
    let test = Test::new();
    assert!(!test.file().is_at(&test.path()));
    test.file().fetch(&test.path()).unwrap();
    assert_eq!(fs::read(test.path()).unwrap(), test.content);
    assert_eq!(test.names(), ["a.bin"]);
    assert!(test.file().is_at(&test.path()));
    test.server.requests();
    test.file().fetch(&test.path()).unwrap();
    assert!(test.server.requests().is_empty());
}

#[test]
fn a_download_goes_on_where_it_stopped() {
    let test = Test::new();
    test.server.cut("a.bin", &[100_000, 50_000]);
    test.file().fetch(&test.path()).unwrap();
    assert_eq!(fs::read(test.path()).unwrap(), test.content);
    let firsts: Vec<usize> = test
        .server
        .requests()
        .iter()
        .filter(|request| request.path.starts_with("/cdn"))
        .filter_map(|request| Some(request.range?.0))
        .collect();
    assert_eq!(firsts, [0, 100_000, 150_000]);
}

#[test]
fn a_part_of_another_process_is_gone_on_with() {
    let test = Test::new();
    fs::create_dir(test.folder.path().join("cache")).unwrap();
    fs::write(
        test.path().with_file_name("a.bin.part"),
        &test.content[..250_000],
    )
    .unwrap();
    test.file().fetch(&test.path()).unwrap();
    assert_eq!(fs::read(test.path()).unwrap(), test.content);
    let requests = test.server.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.range == Some((250_000, None))),
        "{requests:?}"
    );
    // Longer than the file: of another content.
    fs::remove_file(test.path()).unwrap();
    fs::write(test.path().with_file_name("a.bin.part"), vec![1; 300_001]).unwrap();
    test.file().fetch(&test.path()).unwrap();
    assert_eq!(fs::read(test.path()).unwrap(), test.content);
}

#[test]
fn another_content_is_refused_and_removed() {
    let test = Test::new();
    test.server.damage("a.bin", Damage::Byte);
    let message = test.refusal(&test.file());
    assert!(
        message.contains("SHA-256") && message.contains(&test.sha256),
        "{message}"
    );
    assert!(test.names().is_empty());
    let longer = PinnedFile {
        size: 299_999,
        ..test.file()
    };
    let message = test.refusal(&longer);
    assert!(message.contains("more than 299999 bytes"), "{message}");
    assert!(test.names().is_empty());
    test.file().fetch(&test.path()).unwrap();
}

#[test]
fn an_address_without_the_file_is_told() {
    let test = Test::new();
    let missing = format!("{}/org/releases/resolve/v2/a.bin", test.server.endpoint());
    let message = test.refusal(&PinnedFile {
        address: &missing,
        ..test.file()
    });
    assert!(message.contains("status 404"), "{message}");
    assert_eq!(test.server.requests().len(), 1);
    let closed = "http://127.0.0.1:1/a.bin";
    let message = test.refusal(&PinnedFile {
        address: closed,
        ..test.file()
    });
    assert!(message.contains("check the connection"), "{message}");
}

#[test]
fn of_several_one_fetches() {
    let test = Test::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| test.file().fetch(&test.path()).unwrap());
        }
    });
    assert_eq!(fs::read(test.path()).unwrap(), test.content);
    let asked = test.server.requests();
    let whole = asked
        .iter()
        .filter(|request| request.path.starts_with("/cdn"));
    assert_eq!(whole.count(), 1);
}
