//! GLaMM's region encoder against the published formulas in torch and torchvision.

use anyref_ops::testing::assert_close;
use anyref_vision::clip::ClipVisionConfig;
use anyref_vision::import;
use anyref_vision::region_encoder::{RegionEncoder, RegionEncoderConfig};
use anyref_vision::roi_align::RegionBox;
use anyref_weights::testing::Fixture;
use anyref_weights::{LoadOptions, load_module};
use burn::tensor::{Distribution, Tensor};

type TestBackend = burn_flex::Flex;

const LEVELS: usize = 4;

fn config() -> RegionEncoderConfig {
    RegionEncoderConfig {
        embed_dim: 8,
        num_fuse: 3,
        num_groups: 2,
        roi_size: 4,
        box_size: 56,
        position_dim: 6,
        region_dim: 12,
        output_size: 10,
        ..RegionEncoderConfig::default()
    }
}

fn fixture() -> Fixture {
    Fixture::open("tests/fixtures/region_encoder.safetensors")
}

fn encoder(fixture: &Fixture) -> RegionEncoder<TestBackend> {
    let mut encoder = config().init(&Default::default());
    let options = LoadOptions::default()
        .with_renames(import::REGION_ENCODER)
        .with_all_unused(&["^states", "^boxes$", "^expected"]);
    load_module(&mut encoder, fixture.checkpoint(), &options).unwrap();
    encoder
}

fn states(fixture: &Fixture) -> Vec<Tensor<TestBackend, 3>> {
    let state = |level: usize| fixture.tensor(&format!("states.{level}"), &Default::default());
    (0..LEVELS).map(state).collect()
}

fn boxes(fixture: &Fixture) -> Vec<RegionBox> {
    let rows = fixture.data("boxes").to_vec::<f32>().unwrap();
    let region = |row: &[f32]| RegionBox {
        batch: row[0] as usize,
        x0: row[1],
        y0: row[2],
        x1: row[3],
        y1: row[4],
    };
    rows.chunks_exact(5).map(region).collect()
}

#[test]
fn levels_and_regions_equal_the_published_formulas() {
    let fixture = fixture();
    let encoder = encoder(&fixture);
    let levels = encoder.fuse(states(&fixture));
    for (level, map) in levels.iter().enumerate() {
        let side = 6 << (LEVELS - 1 - level);
        assert_eq!(map.dims(), [2, 8, side, side]);
        let expected: Tensor<TestBackend, 4> =
            fixture.tensor(&format!("expected.levels.{level}"), &Default::default());
        let every = |step: usize| (0..side).step_by(step).map(|cell| cell as i64).collect();
        let cells = |step: usize| -> Tensor<TestBackend, 1, burn::tensor::Int> {
            let cells: Vec<i64> = every(step);
            Tensor::from_ints(cells.as_slice(), &Default::default())
        };
        let some = map.clone().select(2, cells(5)).select(3, cells(7));
        assert_close(&some, &expected, 1e-4);
    }
    let regions = encoder.regions(&levels, &boxes(&fixture));
    let expected = fixture.tensor("expected.regions", &Default::default());
    assert_close(&regions, &expected, 1e-4);
}

#[test]
fn a_picture_and_a_box_do_not_depend_on_those_beside_them() {
    let fixture = fixture();
    let encoder = encoder(&fixture);
    let boxes = boxes(&fixture);
    let together = encoder.regions(&encoder.fuse(states(&fixture)), &boxes);
    for (index, region) in boxes.iter().enumerate() {
        let alone = states(&fixture).into_iter();
        let alone = alone
            .map(|state| state.narrow(0, region.batch, 1))
            .collect();
        let own = RegionBox {
            batch: 0,
            ..*region
        };
        let alone = encoder.regions(&encoder.fuse(alone), &[own]);
        assert_close(&alone, &together.clone().narrow(0, index, 1), 1e-5);
    }
}

#[test]
fn levels_come_from_the_towers_states() {
    let device = Default::default();
    let config = ClipVisionConfig::tiny();
    let tower = config.init::<TestBackend>(&device);
    let pixels = Tensor::random([2, 3, 32, 32], Distribution::Default, &device);
    let states = tower.hidden_states(pixels.clone());
    let found = tower.features_at(pixels.clone(), &[1, 0, 2]);
    for (found, state) in found.iter().zip([1, 0, 2]) {
        let expected = states[state].clone().narrow(1, 1, config.num_patches());
        assert_eq!(found.to_data(), expected.to_data());
    }
    let last = tower.features(pixels.clone(), 1);
    let one = tower.features_at(pixels, &[1]).remove(0);
    assert_eq!(one.into_data(), last.into_data());
}
