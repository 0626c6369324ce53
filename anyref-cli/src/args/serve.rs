//! Options of `anyref serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Address and port; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8787", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Secret that requests must carry, required if other machines can reach the address
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    pub token: Option<String>,
    /// File with the secret
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Let anybody ask who reaches the address
    #[arg(long, conflicts_with_all = ["token", "token_file"])]
    pub no_auth: bool,
    /// Origin of another page that may ask, such as `https://example.org`; may be repeated
    #[arg(long = "cors", value_name = "ORIGIN")]
    pub origins: Vec<String>,
    /// Largest request
    #[arg(long, default_value_t = 32, value_name = "MIB", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub max_body: u16,
    /// Memory that loaded models may take together: those not asked for longest are dropped, and
    /// loaded again when they are asked [default: any]
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u32>,
    /// Memory of pictures that are kept encoded, for each model
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    pub cache: u32,
    /// Largest number of waiting requests; more are answered with 503
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub queue: u16,
    /// Largest number of questions in a batch
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub batch: u16,
    /// Longest time of an answer, in seconds
    #[arg(long, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..))]
    pub timeout: u16,
}
