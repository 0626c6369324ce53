//! Selection of the repository files that a reader of the folder needs.

use std::collections::BTreeSet;

/// Configurations, tokenizers and preprocessing: small files, taken if present.
const BESIDE: [&str; 10] = [
    "config.json",
    "parts.json",
    "generation_config.json",
    "preprocessor_config.json",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "added_tokens.json",
    "special_tokens_map.json",
];

/// Weights of a whole model, in order of preference.
const WHOLE: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// Weights of other names; the first group with a file is taken.
const OTHER: [&[&str]; 4] = [
    &[".safetensors.index.json"],
    &[".safetensors"],
    &[".bin.index.json"],
    &[".bin", ".pth", ".pt"],
];

/// Weights of an adapter, with or without a whole model; the first of each group is taken.
const ADAPTER: [&[&str]; 2] = [
    &["adapter_model.safetensors", "adapter_model.bin"],
    &["non_lora_trainables.bin"],
];

/// Files that a training run leaves beside its weights.
const LEFTOVERS: [&str; 4] = ["optimizer", "scheduler", "training_args", "rng_state"];

/// Files of a folder that its reader needs, out of all `names`. If there is an index, it names the
/// shards, which are then not included.
pub(super) fn wanted<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let find = |wanted: &str| names.iter().copied().find(|name| *name == wanted);
    let mut found: BTreeSet<&str> = BESIDE.into_iter().filter_map(find).collect();
    for group in ADAPTER {
        found.extend(group.iter().copied().find_map(find));
    }
    match WHOLE.into_iter().find_map(find) {
        Some(weights) => _ = found.insert(weights),
        None if find("adapter_config.json").is_some() => {}
        None => {
            let group = |suffixes: &&[&str]| -> Vec<&'a str> {
                let weights = names.iter().copied().filter(|name| {
                    suffixes.iter().any(|suffix| name.ends_with(suffix))
                        && !LEFTOVERS.iter().any(|leftover| name.starts_with(leftover))
                });
                weights.collect()
            };
            found.extend(
                OTHER
                    .iter()
                    .map(group)
                    .find(|group| !group.is_empty())
                    .unwrap_or_default(),
            );
        }
    }
    found.into_iter().collect()
}

/// Shards that an index names, as far as they are plain file names. An invalid index yields none;
/// its reader reports the fault.
pub(super) fn shards(index: &[u8]) -> BTreeSet<String> {
    let index: serde_json::Value = serde_json::from_slice(index).unwrap_or_default();
    let map = index.get("weight_map").and_then(|map| map.as_object());
    let names = map
        .into_iter()
        .flat_map(|map| map.values())
        .filter_map(|name| name.as_str());
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_what_its_reader_wants() {
        for (names, expected) in [
            (
                &[
                    "README.md",
                    "config.json",
                    "flax_model.msgpack",
                    "model.safetensors",
                    "pytorch_model.bin",
                    "tf_model.h5",
                    "tokenizer.model",
                ][..],
                &["config.json", "model.safetensors", "tokenizer.model"][..],
            ),
            (
                &[
                    "model-00001-of-00002.safetensors",
                    "model-00002-of-00002.safetensors",
                    "model.safetensors.index.json",
                    "pytorch_model.bin.index.json",
                ],
                &["model.safetensors.index.json"],
            ),
            (
                &[
                    "mm_projector.bin",
                    "pytorch_model-00001-of-00001.bin",
                    "pytorch_model.bin.index.json",
                ],
                &["pytorch_model.bin.index.json"],
            ),
            (
                &["README.md", "sam_vit_h_4b8939.pth"],
                &["sam_vit_h_4b8939.pth"],
            ),
            (
                &["a.safetensors", "b.safetensors", "c.bin"],
                &["a.safetensors", "b.safetensors"],
            ),
            (
                &["optimizer.pt", "training_args.bin", "weights.bin"],
                &["weights.bin"],
            ),
            (
                &[
                    "adapter_config.json",
                    "adapter_model.bin",
                    "adapter_model.safetensors",
                    "non_lora_trainables.bin",
                    "training_args.bin",
                ],
                &[
                    "adapter_config.json",
                    "adapter_model.safetensors",
                    "non_lora_trainables.bin",
                ],
            ),
            (&["README.md"], &[]),
        ] {
            assert_eq!(wanted(names), expected, "{names:?}");
        }
    }

    #[test]
    fn an_index_names_its_shards() {
        let index =
            br#"{"metadata": {}, "weight_map": {"a": "x-1", "b": "x-2", "c": "x-1", "d": 3}}"#;
        assert_eq!(
            shards(index).into_iter().collect::<Vec<_>>(),
            ["x-1", "x-2"]
        );
        assert!(shards(b"no json").is_empty());
        assert!(shards(b"{}").is_empty());
    }
}
