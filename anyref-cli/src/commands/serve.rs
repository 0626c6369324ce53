//! `anyref serve`: the page and the API.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use anyref_server::{Access, Limits, ServedModel, Server, ServerOptions};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::demo;
use crate::args::{Common, ServeArguments};
use crate::{model, nano, output};

/// Names of the things that a folder's model learned, one a line.
const NOUNS_FILE: &str = "nouns.txt";

/// Runs the command.
pub fn run(common: &Common, arguments: &ServeArguments) -> Result<()> {
    let options = ServerOptions {
        limits: limits(arguments),
        access: Access {
            token: token(arguments)?,
            open: arguments.no_auth,
            origins: arguments.origins.clone(),
        },
        scenes: demo::FILES,
    };
    // Checked before the model is loaded.
    options.check(arguments.listen)?;
    let models = models(common)?;
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(blocking_threads())
        .build();
    let runtime = runtime.context("cannot start threads")?;
    runtime.block_on(async {
        let address = arguments.listen;
        let listener = TcpListener::bind(address).await;
        let listener = listener
            .with_context(|| format!("cannot listen on {address}: choose another with --listen"))?;
        let address = listener.local_addr()?;
        let token = options.access.token.clone();
        let server = Server::start(models, options)?;
        let name = server.model().to_owned();
        let secret = token.map_or(String::new(), |token| format!("#token={token}"));
        output::say(&format!("{name} answers on http://{address}/{secret}"))?;
        output::say(&format!("API: http://{address}/docs, stop with Ctrl+C"))?;
        Ok(server.serve(listener, ended()).await?)
    })
}

/// Number of threads that read files and write masks. They compute, so that more than a few for
/// each core would only take memory.
fn blocking_threads() -> usize {
    let cores = std::thread::available_parallelism();
    (2 * cores.map_or(1, usize::from)).max(4)
}

fn limits(arguments: &ServeArguments) -> Limits {
    let usual = Limits::default();
    let body_bytes = usize::from(arguments.max_body) << 20;
    Limits {
        body_bytes,
        upload_bytes: usual.upload_bytes.max(4 * body_bytes),
        cache_bytes: u64::from(arguments.cache) << 20,
        queue: arguments.queue.into(),
        batch: arguments.batch.into(),
        model_bytes: arguments.memory.map(|mebibytes| u64::from(mebibytes) << 20),
        answer: Duration::from_secs(arguments.timeout.into()),
        ..usual
    }
}

/// Secret that requests must carry.
fn token(arguments: &ServeArguments) -> Result<Option<String>> {
    let Some(file) = &arguments.token_file else {
        return Ok(arguments.token.clone());
    };
    let text = fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read the token of {}", file.display()))?;
    match text.trim() {
        "" => bail!("{} is empty: write a token into it", file.display()),
        token => Ok(Some(token.to_owned())),
    }
}

/// Models of the command line, the first one loaded by now, and what the others need fetched.
fn models(common: &Common) -> Result<Vec<ServedModel>> {
    let mut models = Vec::new();
    for (number, given) in given(common).into_iter().enumerate() {
        let common = common.with_model(given.path);
        let options = model::options(&common)?;
        // Once as by every command, whose messages name the model.
        let first = match number {
            0 => Some(model::load(&common, &options)?),
            _ => None,
        };
        let first = Mutex::new(first);
        let load = move || match first.lock().ok().and_then(|mut first| first.take()) {
            Some(engine) => Ok(engine),
            None => anyref_core::load_engine(&options),
        };
        models.push(ServedModel {
            name: given.name,
            load: Arc::new(load),
            known: known(&common),
        });
    }
    Ok(models)
}

/// Model as it is given on the command line.
#[derive(Debug, PartialEq)]
struct Given {
    name: Option<String>,
    /// None of the built-in one.
    path: Option<PathBuf>,
}

/// Models as they are given: `NAME=MODEL`, or `MODEL`, whose name is that of its folder or file but
/// for the first one, which has its engine's.
fn given(common: &Common) -> Vec<Given> {
    if common.models.is_empty() {
        return vec![Given {
            name: None,
            path: None,
        }];
    }
    let parse = |(number, model): (usize, &PathBuf)| {
        let text = model.to_string_lossy();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if let Some((name, path)) = text.split_once('=')
            && !name.is_empty()
            && name.bytes().all(plain)
            && !model.exists()
        {
            return Given {
                name: Some(name.to_owned()),
                path: Some(path.into()),
            };
        }
        let last = match model.is_file() {
            true => model.file_stem(),
            false => model.file_name(),
        };
        let last = last.map(|name| name.to_string_lossy().into_owned());
        Given {
            name: last.filter(|_| number > 0),
            path: Some(model.clone()),
        }
    };
    common.models.iter().enumerate().map(parse).collect()
}

/// Names of the things that the model learned, as far as there is a list.
fn known(common: &Common) -> Vec<String> {
    let list = match common.model() {
        None => nano::NOUNS.to_owned(),
        Some(folder) => fs::read_to_string(Path::new(folder).join(NOUNS_FILE)).unwrap_or_default(),
    };
    list.lines()
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Waits for Ctrl+C, or for a termination signal.
async fn ended() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let terminated = async {
            match signal(SignalKind::terminate()) {
                Ok(mut signal) => signal.recv().await,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = interrupted => {}
            _ = terminated => {}
        }
    }
    #[cfg(not(unix))]
    interrupted.await;
    log::info!("the server ends; what runs is finished");
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Arguments;

    fn names(models: &[&str]) -> Vec<(Option<String>, String)> {
        let mut arguments = vec!["anyref", "serve"];
        models
            .iter()
            .for_each(|model| arguments.extend(["--model", model]));
        let common = Arguments::try_parse_from(arguments).unwrap().common;
        let of = |one: Given| (one.name, one.path.unwrap().display().to_string());
        given(&common).into_iter().map(of).collect()
    }

    #[test]
    fn models_have_the_names_given_or_those_of_their_folders() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("a=b");
        fs::create_dir(&odd).unwrap();
        let file = folder.path().join("sam_vit_b.pth");
        fs::write(&file, "").unwrap();
        let (odd, file) = (odd.to_str().unwrap(), file.to_str().unwrap());
        let given = names(&[
            "models/nano",
            "big=hf://org/LISA-7B-v1",
            "hf://org/LISA-7B-v1",
            odd,
            file,
        ]);
        let expected = [
            (None, "models/nano"),
            (Some("big"), "hf://org/LISA-7B-v1"),
            (Some("LISA-7B-v1"), "hf://org/LISA-7B-v1"),
            (Some("a=b"), odd),
            (Some("sam_vit_b"), file),
        ];
        let expected = expected.map(|(name, path)| (name.map(str::to_owned), path.to_owned()));
        assert_eq!(given, expected);
        // A path with an equals sign is no name.
        assert_eq!(names(&["./x=y"]), [(None, "./x=y".into())]);
    }
}
