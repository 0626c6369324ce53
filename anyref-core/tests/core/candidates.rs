//! Answers chosen among several.

use anyref_core::{Answer, AnyRef, CandidateConfig, Picture, Prompt, Reference, ReferenceImage};

use crate::common::{ONE, TestBackend, image, pointing, saying};

fn asking(config: CandidateConfig, seed: u64) -> AnyRef<TestBackend> {
    // Truncated, so that several answers are likely.
    let mut anyref = pointing::<TestBackend>(1, seed);
    anyref.generation.max_new_tokens = 4;
    anyref.config.candidates = config;
    anyref
}

fn weights(count: usize, estimate_weight: f64, refusal_estimate: f64) -> CandidateConfig {
    CandidateConfig {
        count,
        estimate_weight,
        refusal_estimate,
        ..CandidateConfig::default()
    }
}

/// Box in question.
const REGION: [f32; 4] = [8.0, 8.0, 40.0, 40.0];

fn boxed() -> Prompt {
    Prompt::new([Reference::Box(REGION)])
}

fn pictured() -> Prompt {
    Prompt::new([Reference::Image(ReferenceImage::new(image(20, 30)))])
}

fn lowest(answer: &Answer) -> f32 {
    answer
        .masks
        .iter()
        .map(|mask| mask.score)
        .fold(1.0, f32::min)
}

#[test]
fn one_clear_answer_is_the_same_with_its_masks() {
    let mut anyref = saying::<TestBackend>(ONE, 1);
    let picture = anyref.picture(&image(60, 44)).unwrap();
    let prompt = Prompt::new([Reference::Text("the red circle".into())]);
    let plain = anyref.segment(&picture, &prompt).unwrap();
    anyref.config.candidates = weights(4, 0.0, 0.1);
    let chosen = anyref.segment(&picture, &prompt).unwrap();
    assert_eq!((&chosen.raw, &chosen.text), (&plain.raw, &plain.text));
    let ([plain], [chosen]) = (&plain.masks[..], &chosen.masks[..]) else {
        panic!("{} and {} masks", plain.masks.len(), chosen.masks.len())
    };
    assert!((plain.score - chosen.score).abs() < 1e-4);
    assert!(plain.rle.iou(&chosen.rle).unwrap() > 0.99);
    let (answer, explained) = anyref.explain(&picture, &prompt).unwrap();
    assert_eq!((answer.masks.len(), explained.len()), (1, 1));
    assert!(explained[0].after.rle.iou(&chosen.rle).unwrap() > 0.99);
    // In a batch, with an invalid question in its place.
    let bad = Prompt::new([Reference::Text("<obj>".into())]);
    let all = anyref.segment_all(&[(&picture, &bad), (&picture, &prompt)]);
    assert!(all[0].is_err());
    assert_eq!(all[1].as_ref().unwrap().raw, ONE);
}

#[test]
fn estimates_decide_as_far_as_they_are_weighted() {
    let picture = |anyref: &AnyRef<TestBackend>| anyref.picture(&image(48, 48)).unwrap();
    let (mut changed, mut refused) = (0, 0);
    for seed in 0..8 {
        let ask = |config| {
            let anyref = asking(config, seed);
            anyref.segment(&picture(&anyref), &pictured()).unwrap()
        };
        // Without a weight the likeliest answer is chosen, which a wider search does not make less
        // likely to point.
        let likeliest = ask(weights(8, 0.0, 0.5));
        let surest = ask(weights(8, 1e9, 0.0));
        let unsure = ask(weights(8, 1e9, 1.0));
        if !likeliest.masks.is_empty() {
            assert!(!surest.masks.is_empty());
            assert!(lowest(&surest) >= lowest(&likeliest) - 1e-5, "{seed}");
        }
        // A single picture reference has its own estimate.
        let pictures = ask(CandidateConfig {
            picture_refusal_estimate: Some(0.0),
            ..weights(8, 1e9, 1.0)
        });
        assert_eq!(pictures.raw, surest.raw, "{seed}");
        let wider = ask(weights(24, 1e9, 0.0));
        assert!(surest.masks.is_empty() || lowest(&wider) >= lowest(&surest) - 1e-5);
        changed += usize::from(surest.raw != likeliest.raw);
        refused += usize::from(unsure.masks.is_empty());
    }
    assert!(changed > 0 && refused > 0, "{changed} {refused}");
}

#[test]
fn masks_of_a_box_are_chosen_by_their_place_too() {
    let (mut changed, mut closer) = (0, 0);
    for seed in 0..8 {
        let mut anyref = asking(CandidateConfig::default(), seed);
        let picture = anyref.picture(&image(48, 48)).unwrap();
        let mut ask = |config, prompt: &Prompt| {
            anyref.config.candidates = config;
            anyref.segment(&picture, prompt).unwrap()
        };
        let likeliest = ask(weights(8, 0.0, 0.0), &boxed());
        let chosen = ask(weights(8, 1e9, 0.0), &boxed());
        if likeliest.masks.is_empty() {
            continue;
        }
        let (before, after) = (placed(&likeliest), placed(&chosen));
        assert!(after >= before * 0.9999, "{seed}: {before} {after}");
        changed += usize::from(likeliest.raw != chosen.raw);
        closer += usize::from(after > before * 1.0005);
        // A custom question may mean something beside the box, so only estimates count.
        let beside = boxed().with_question("Can you segment what is left of {1}?");
        let [likeliest, surest] = [0.0, 1e9].map(|weight| ask(weights(8, weight, 0.0), &beside));
        assert!(likeliest.masks.is_empty() || lowest(&surest) >= lowest(&likeliest) - 1e-5);
    }
    assert!(changed > 0 && closer > 0, "{changed} {closer}");
}

#[test]
fn descriptions_are_chosen_by_what_their_words_point_at() {
    let (mut changed, mut better) = (0, 0);
    for seed in 0..8 {
        let mut anyref = asking(CandidateConfig::default(), seed);
        let picture = anyref.picture(&image(48, 48)).unwrap();
        let mut describe = |listener_weight| {
            anyref.config.candidates = CandidateConfig {
                count: 8,
                listener_weight,
                ..CandidateConfig::default()
            };
            let answer = anyref.describe(&picture, &boxed()).unwrap();
            anyref.config.candidates = CandidateConfig::default();
            let words = answer.text.trim_end_matches('.').trim().to_owned();
            (words.clone(), understood(&anyref, &picture, words))
        };
        let (plain, before) = describe(0.0);
        let (chosen, after) = describe(1e9);
        assert!(after >= before * 0.9999, "{seed}: {before} {after}");
        changed += usize::from(plain != chosen);
        better += usize::from(after > before * 1.0005);
    }
    assert!(changed > 0 && better > 0, "{changed} {better}");
}

#[test]
fn tokens_of_a_description_cost_what_is_asked_for_them() {
    let mut shorter = 0;
    for seed in 0..8 {
        let mut anyref = asking(CandidateConfig::default(), seed);
        // Frequent stop tokens give answers of several lengths.
        anyref.generation.stop_tokens = (0..512).step_by(3).collect();
        let picture = anyref.picture(&image(48, 48)).unwrap();
        let mut tokens = |token_cost| {
            anyref.config.candidates = CandidateConfig {
                count: 8,
                // The best understood answer, not the likeliest, which are short.
                listener_weight: 1e3,
                token_cost,
                ..CandidateConfig::default()
            };
            let answer = anyref.describe(&picture, &boxed()).unwrap();
            anyref.tokenizer.encode(&answer.raw, false).unwrap().len()
        };
        let (free, dear) = (tokens(0.0), tokens(1e9));
        assert!(dear <= free, "{seed}: {dear} {free}");
        shorter += usize::from(dear < free);
    }
    assert!(shorter > 0);
}

#[test]
fn a_limit_of_scores_hides_masks_and_changes_no_choice() {
    for seed in 0..4 {
        let mut anyref = asking(weights(8, 1e9, 0.0), seed);
        let picture = anyref.picture(&image(48, 48)).unwrap();
        let prompts = [boxed(), pictured()];
        let ask = |anyref: &AnyRef<TestBackend>| {
            let mut answers = anyref.segment_all(&prompts.each_ref().map(|p| (&picture, p)));
            answers.extend(anyref.describe_all(&prompts.each_ref().map(|p| (&picture, p))));
            answers.into_iter().map(Result::unwrap).collect::<Vec<_>>()
        };
        let all = ask(&anyref);
        anyref.config.min_mask_score = 2.0;
        for (shown, hidden) in all.iter().zip(ask(&anyref)) {
            assert_eq!(shown.raw, hidden.raw);
            assert_eq!(
                (shown.masks.len(), 0),
                (hidden.doubtful, hidden.masks.len())
            );
        }
    }
}

/// Lowest estimate of an answer, times the IoU of the box around its masks and the box in question.
fn placed(answer: &Answer) -> f32 {
    let boxes = answer.masks.iter().filter(|mask| mask.area() > 0);
    let boxes = boxes.map(|mask| mask.bounding_box().map(|at| at as f32));
    let around = boxes.reduce(|a, b| {
        [0, 1, 2, 3].map(|side| match side < 2 {
            true => a[side].min(b[side]),
            false => a[side].max(b[side]),
        })
    });
    let Some(around) = around else {
        return 0.0;
    };
    let area = |[x0, y0, x1, y1]: [f32; 4]| (x1 - x0).max(0.0) * (y1 - y0).max(0.0);
    let both = area([
        around[0].max(REGION[0]),
        around[1].max(REGION[1]),
        around[2].min(REGION[2]),
        around[3].min(REGION[3]),
    ]);
    let iou = both / (area(around) + area(REGION) - both);
    lowest(answer) * iou
}

/// Fit of the masks for some words to the box, by pixels and estimate.
fn understood(anyref: &AnyRef<TestBackend>, picture: &Picture<TestBackend>, words: String) -> f64 {
    let Ok(answer) = anyref.segment(picture, &Prompt::new([Reference::Text(words)])) else {
        return 0.0;
    };
    let (mut both, mut either) = (0, 0);
    let masks: Vec<_> = answer.masks.iter().map(|mask| mask.to_image()).collect();
    for (x, y) in (0..48).flat_map(|x| (0..48).map(move |y| (x, y))) {
        let on = masks.iter().any(|mask| mask.get_pixel(x, y)[0] > 0);
        let boxed = (8..40).contains(&x) && (8..40).contains(&y);
        both += u32::from(on && boxed);
        either += u32::from(on || boxed);
    }
    match masks.is_empty() {
        true => 0.0,
        false => f64::from(both) / f64::from(either) * f64::from(lowest(&answer)),
    }
}
