//! Goes on with a text, by a model in a GGUF file or by the language model of the shipped one.
//!
//! ```sh
//! cargo run --release -p anyref-llm --example generate_text
//! cargo run --release -p anyref-llm --example generate_text -- MODEL.gguf TEXT [TOKENS]
//! ```

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result};
use anyref_llm::conversation::llava_v1;
use anyref_llm::{
    GenerationConfig, GenerationInput, GgufModel, Llama, LlamaConfig, Tokenizer, generate,
};
use anyref_weights::{Checkpoint, LoadOptions, load_module};
use burn::backend::Flex;
use burn::tensor::{Int, Tensor, TensorData};

const MODEL: &str = "assets/nano";
const QUESTION: &str = "Can you segment the gorilla in this image?";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [path, text, rest @ ..] => {
            // Weights stay in the file's blocks.
            let GgufModel {
                model,
                tokenizer,
                tokens,
            } = GgufModel::<Flex>::load(path, &Default::default())?;
            let first = tokens.bos.filter(|_| tokens.add_bos);
            let mut ids: Vec<u32> = first.into_iter().collect();
            ids.extend(tokenizer.encode(text, false)?);
            let count = rest.first().map_or(Ok(32), |count| count.parse())?;
            let mut config = GenerationConfig::greedy(count);
            config.stop_tokens = tokens.eos;
            println!("{text}{}", go_on(&model, &tokenizer, ids, &config)?);
        }
        _ => {
            let (model, tokenizer) = shipped()?;
            let prompt = llava_v1().ask(QUESTION).open().prompt();
            let ids = tokenizer.encode(&prompt, true)?;
            let mut config = GenerationConfig::greedy(16);
            config.stop_tokens = tokenizer.encode("</s>", false)?;
            println!("{prompt}{}", go_on(&model, &tokenizer, ids, &config)?);
        }
    }
    Ok(())
}

/// Likeliest continuation of a prompt.
fn go_on(
    model: &Llama<Flex>,
    tokenizer: &Tokenizer,
    ids: Vec<u32>,
    config: &GenerationConfig,
) -> Result<String> {
    let length = ids.len();
    let ids = TensorData::new(ids, [1, length]);
    let ids = Tensor::<Flex, 2, Int>::from_data(ids, &Default::default());
    let on_token = |_row, _token| ControlFlow::Continue(());
    let input = GenerationInput::new(model.embed(ids));
    let output = generate(model, input, config, on_token)?;
    Ok(tokenizer.decode(&output.tokens[0])?)
}

/// Language model and tokenizer of the model folder.
fn shipped() -> Result<(Llama<Flex>, Tokenizer)> {
    let file = Path::new(MODEL).join("config.json");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("{}: run this in the repository's root", file.display()))?;
    let config: serde_json::Value = serde_json::from_str(&text)?;
    let config: LlamaConfig = serde_json::from_value(config["llm"].clone())?;
    let mut model = config.init(&Default::default());
    let options = LoadOptions::default().with_prefix("llm.");
    load_module(&mut model, &Checkpoint::open(MODEL)?, &options)?;
    Ok((model, Tokenizer::from_folder(MODEL)?))
}
