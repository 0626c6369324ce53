//! Check that phrases mean their targets and nothing else, by an independent reading of the words.

mod common;

use anyref_data::scenes::{Kind, Scene, SceneObject, Split};
use common::{questions, sets};

/// Objects meant by a phrase, by a plain reading of its words.
fn read(scene: &Scene, phrase: &str) -> Vec<usize> {
    let all: Vec<usize> = (0..scene.objects.len()).collect();
    let fits = |word: &str| -> Vec<usize> {
        let fit = |o: &SceneObject| match word {
            "object" => true,
            "animal" => o.category == "animals",
            "vehicle" => o.category == "vehicles",
            "plant" => o.category == "plants",
            "shape" => o.category == "shapes",
            _ => o.noun == word || o.name == word,
        };
        all.iter()
            .copied()
            .filter(|&i| fit(&scene.objects[i]))
            .collect()
    };
    let at = |i: usize| scene.objects[i].centre();
    let key = |side: &str, i: usize| match side {
        "left" => at(i)[0],
        "right" => -at(i)[0],
        "top" => at(i)[1],
        _ => -at(i)[1],
    };
    let ordered = |word: &str, side: &str| {
        let mut found = fits(word);
        found.sort_by(|&a, &b| key(side, a).total_cmp(&key(side, b)));
        found
    };
    for (relation, side) in [
        (" left of the ", "left"),
        (" right of the ", "right"),
        (" above the ", "top"),
        (" below the ", "bottom"),
    ] {
        if let Some((word, anchor)) = phrase.split_once(relation) {
            let [anchor] = fits(anchor)[..] else {
                panic!("{phrase}: which {anchor}?")
            };
            return fits(word)
                .into_iter()
                .filter(|&i| key(side, i) < key(side, anchor))
                .collect();
        }
    }
    for side in ["left", "right", "top", "bottom"] {
        for joint in [" from the ", " on the ", " at the "] {
            if let Some(word) = phrase.strip_suffix(&format!("{joint}{side}")) {
                return match word.strip_prefix("second ") {
                    Some(word) => vec![ordered(word, side)[1]],
                    None => vec![ordered(word, side)[0]],
                };
            }
        }
    }
    let by_area = |word: &str| {
        let mut found = fits(word);
        found.sort_by_key(|&i| scene.objects[i].area);
        found
    };
    if let Some(word) = phrase.strip_prefix("largest ") {
        return by_area(word).last().copied().into_iter().collect();
    }
    if let Some(word) = phrase.strip_prefix("smallest ") {
        return by_area(word).first().copied().into_iter().collect();
    }
    fits(phrase.strip_prefix("every ").unwrap_or(phrase))
}

#[test]
fn a_phrase_read_plainly_means_its_targets_and_nothing_else() {
    for (name, set) in sets() {
        let mut phrases = 0;
        for index in 0..250 {
            let scene = set.scene(Split::Validation, index);
            for kind in [Kind::Text, Kind::BoxToText, Kind::Mixed] {
                for question in set.instructions(&scene, &questions(kind), 1) {
                    for target in &question.targets {
                        let meant = read(&scene, &target.phrase);
                        // A mixed question may identify one of several objects by its box.
                        if kind == Kind::Mixed && target.phrase == target.noun {
                            assert!(target.objects.iter().all(|i| meant.contains(i)));
                        } else {
                            assert_eq!(meant, target.objects, "{name} {index}: {}", target.phrase);
                        }
                        assert!(target.mask(&scene).bounds().is_some());
                        phrases += 1;
                    }
                }
            }
            for question in set.instructions(&scene, &questions(Kind::Absent), 1) {
                let phrase = question.answer.strip_suffix(" is not in this image.");
                let phrase = phrase.unwrap();
                assert!(question.targets.is_empty() && !question.answer.contains("<obj>"));
                let shown = scene
                    .objects
                    .iter()
                    .any(|o| o.noun == phrase || o.name == phrase);
                assert!(!shown, "{name} {index}: {phrase}");
            }
        }
        assert!(phrases > 2000, "{name}: {phrases}");
    }
}
