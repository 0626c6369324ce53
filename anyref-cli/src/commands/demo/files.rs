//! Bundled scenes, references and questions.

use anyhow::{Context, Result};
use anyref_data::scenes::demo::Demo;

/// Name of the list of scenes and questions.
const DEMO: &str = "demo.json";

/// Names and contents of bundled files.
macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_bytes!(concat!(env!("ANYREF_ASSETS"), "/demo/", $name)) as &[u8])),*]
    };
}

/// Files of the demonstration by name: the list of scenes, and the files that it names.
pub static FILES: &[(&str, &[u8])] = files![
    "demo.json"
    "scene1-3-1.png"
    "scene1-4-1.wav"
    "scene1.jpg"
    "scene2-3-1.png"
    "scene2-4-1.wav"
    "scene2-5-1.png"
    "scene2.jpg"
    "scene3-3-1.png"
    "scene3-4-1.wav"
    "scene3-5-1.png"
    "scene3.jpg"
    "scene4-3-1.png"
    "scene4-4-1.wav"
    "scene4-5-1.wav"
    "scene4-5-2.wav"
    "scene4-6-1.wav"
    "scene4.jpg"
    "scene5-3-1.png"
    "scene5-4-1.wav"
    "scene5-5-1.wav"
    "scene5-6-1.png"
    "scene5.jpg"
];

/// Scenes and their questions.
pub fn demo() -> Result<Demo> {
    serde_json::from_slice(content(DEMO)?).context("the bundled demo.json")
}

/// Content of a bundled file.
pub fn content(name: &str) -> Result<&'static [u8]> {
    let file = FILES.iter().find(|(file, _)| *file == name);
    file.map(|(_, content)| *content)
        .with_context(|| format!("{name} is not bundled"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyref_data::scenes::demo::DemoReference;

    #[test]
    fn every_file_is_bundled_and_used() {
        let mut used = vec![DEMO.to_owned()];
        for scene in demo().unwrap().scenes {
            used.push(scene.picture);
            for reference in scene.tasks.into_iter().flat_map(|task| task.references) {
                if let DemoReference::Picture(file) | DemoReference::Sound(file) = reference {
                    used.push(file);
                }
            }
        }
        used.sort();
        let mut bundled: Vec<_> = FILES.iter().map(|(name, _)| name.to_string()).collect();
        bundled.sort();
        assert_eq!(used, bundled);
        let bytes: usize = FILES.iter().map(|(_, content)| content.len()).sum();
        assert!(bytes < 1_500_000, "{bytes} bytes");
    }
}
