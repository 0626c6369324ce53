//! Comparison of scenes' masks with their objects, drawn again.

use std::path::Path;

use super::mask::Mask;
use super::scene_config::SceneConfig;
use super::scene_set::Scenes;
use super::split::Split;
use super::sprite::SOLID;

/// Shapes, and stamps if they were fetched.
fn sets() -> Vec<(&'static str, Scenes)> {
    let config = SceneConfig::default;
    let mut sets = vec![("shapes", Scenes::shapes(config()).unwrap())];
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data");
    if data.join("stamps").is_dir() {
        let (stamps, backgrounds) = (data.join("stamps"), data.join("backgrounds"));
        let backgrounds = backgrounds.is_dir().then_some(backgrounds.as_path());
        let set = Scenes::stamps(&stamps, backgrounds, config()).unwrap();
        sets.push(("stamps", set));
    }
    sets
}

#[test]
fn masks_are_the_front_most_solid_pixels_of_the_objects_drawn_again() {
    for (name, set) in sets() {
        let config = set.config();
        let (mut count, mut covered) = (0, 0);
        for index in 0..60 {
            let scene = set.scene(Split::Train, index);
            let (w, h) = scene.image.dimensions();
            let mut taken = Mask::new(w as usize, h as usize);
            for object in &scene.objects {
                let patch = set.library().cutouts()[object.cutout]
                    .sprite
                    .draw(&object.placement);
                let mut visible = Mask::new(w as usize, h as usize);
                for (i, _) in patch
                    .pixels
                    .iter()
                    .enumerate()
                    .filter(|(_, p)| p[3] >= SOLID)
                {
                    let x = patch.x + (i % patch.width) as i32;
                    let y = patch.y + (i / patch.width) as i32;
                    let inside = x >= 0 && y >= 0 && x < w as i32 && y < h as i32;
                    if inside && !taken.get(x as usize, y as usize) {
                        visible.set(x as usize, y as usize);
                    }
                }
                assert_eq!(
                    visible, object.mask,
                    "{name} scene {index}: {}",
                    object.name
                );
                assert_eq!(object.area, visible.area());
                assert_eq!(Some(object.bounds), visible.bounds());
                assert!(object.visible >= config.min_visible);
                taken.union_with(&visible);
                count += 1;
                covered += usize::from(object.visible < 0.9);
            }
            assert!(
                (2..=6).contains(&scene.objects.len()),
                "{name} scene {index}"
            );
        }
        assert!(
            covered * 20 > count,
            "{name}: only {covered} of {count} objects are covered"
        );
    }
}
