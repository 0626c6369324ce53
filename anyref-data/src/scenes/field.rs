//! Procedural textures: a scalar field mapped through a palette.

use rand::Rng;

/// One byte a channel.
pub(crate) type Rgb = [u8; 3];

/// Adds value noise: random numbers at the corners of `cells` cells across the width, interpolated
/// in between.
fn add_noise(field: &mut [f32], width: usize, cells: f32, amplitude: f32, rng: &mut impl Rng) {
    let height = field.len() / width;
    let step = cells / width as f32;
    let columns = cells.ceil() as usize + 2;
    let rows = (height as f32 * step).ceil() as usize + 2;
    let grid: Vec<f32> = (0..columns * rows)
        .map(|_| rng.random_range(-amplitude..amplitude))
        .collect();
    let mut blended = vec![0.0; columns];
    for (y, line) in field.chunks_exact_mut(width).enumerate() {
        let v = y as f32 * step;
        let (row, t) = (v as usize, v.fract());
        let (above, below) = (&grid[row * columns..], &grid[(row + 1) * columns..]);
        for (out, (a, b)) in blended.iter_mut().zip(above.iter().zip(below)) {
            *out = a + (b - a) * t;
        }
        for (x, value) in line.iter_mut().enumerate() {
            let u = x as f32 * step;
            let column = u as usize;
            let a = blended[column];
            *value += a + (blended[column + 1] - a) * (u - column as f32);
        }
    }
}

/// Paints a random texture: clouds, gradients, stripes or tiles, in two to four colours.
pub(crate) fn paint(canvas: &mut [Rgb], width: usize, rng: &mut impl Rng) {
    let height = canvas.len() / width;
    let mut field = vec![0.0f32; canvas.len()];
    let kind = rng.random_range(0..5);
    let base = rng.random_range(1.5..6.0);
    match kind {
        // Clouds, plain or with a gradient across.
        0 | 1 => {
            let mut amplitude = 0.5;
            let mut cells = base;
            for _ in 0..4 {
                add_noise(&mut field, width, cells, amplitude, rng);
                cells *= 2.3;
                amplitude *= 0.55;
            }
            if kind == 1 {
                add_plane(&mut field, width, rng.random_range(0.6..1.6), rng);
            }
        }
        2 => {
            add_plane(&mut field, width, 1.0, rng);
            add_noise(&mut field, width, base * 8.0, 0.08, rng);
        }
        // Wavy stripes and tiles: one folded plane, or two crossing ones.
        _ => {
            let wobble = rng.random_range(0.0..0.6);
            let bands = rng.random_range(3.0..14.0);
            add_noise(&mut field, width, base, wobble, rng);
            let mut cross = field.clone();
            add_plane(&mut field, width, bands, rng);
            let hard = rng.random_range(1.0..6.0);
            let fold = |v: f32| ((v.rem_euclid(1.0) - 0.5).abs() * 4.0 - 1.0) * hard;
            if kind == 4 {
                add_plane(&mut cross, width, bands, rng);
                for (v, c) in field.iter_mut().zip(&cross) {
                    *v = (fold(*v).clamp(-1.0, 1.0) * fold(*c).clamp(-1.0, 1.0)).clamp(-1.0, 1.0);
                }
            } else {
                field
                    .iter_mut()
                    .for_each(|v| *v = fold(*v).clamp(-1.0, 1.0));
            }
            add_noise(&mut field, width, height as f32 / 3.0, 0.15, rng);
        }
    }
    let palette = palette(rng);
    for (out, value) in canvas.iter_mut().zip(&field) {
        *out = palette[((value * 0.5 + 0.5) * 255.0).clamp(0.0, 255.0) as usize];
    }
}

/// Adds a tilted plane that rises by `range` across the picture.
fn add_plane(field: &mut [f32], width: usize, range: f32, rng: &mut impl Rng) {
    let angle: f32 = rng.random_range(0.0..std::f32::consts::TAU);
    let (dx, dy) = (
        angle.cos() * range / width as f32,
        angle.sin() * range / width as f32,
    );
    let middle = 0.5 * (dx * width as f32 + dy * (field.len() / width) as f32);
    for (y, line) in field.chunks_exact_mut(width).enumerate() {
        let mut value = y as f32 * dy - middle;
        for out in line {
            *out += value;
            value += dx;
        }
    }
}

/// Palette of 256 colours that runs through two to four random ones.
fn palette(rng: &mut impl Rng) -> [Rgb; 256] {
    let grey: u8 = rng.random_range(30..226);
    let spread: i32 = rng.random_range(10..160);
    let stops: Vec<Rgb> = (0..rng.random_range(2..5))
        .map(|_| {
            std::array::from_fn(|_| {
                (i32::from(grey) + rng.random_range(-spread..=spread)).clamp(0, 255) as u8
            })
        })
        .collect();
    std::array::from_fn(|i| {
        let at = i as f32 / 255.001 * (stops.len() - 1) as f32;
        let (k, t) = (at as usize, at.fract());
        std::array::from_fn(|c| {
            let (a, b) = (f32::from(stops[k][c]), f32::from(stops[k + 1][c]));
            (a + (b - a) * t) as u8
        })
    })
}
