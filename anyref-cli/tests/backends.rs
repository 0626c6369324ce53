//! Backends missing from this build or this machine: one line that says what is missing.

mod common;

use common::{fail, folder, scene, succeed};

/// Environment in which no Vulkan driver is found.
#[cfg(feature = "vulkan")]
const NO_DRIVER: [(&str, &str); 2] = [
    ("VK_DRIVER_FILES", "/nowhere.json"),
    ("VK_ICD_FILENAMES", "/nowhere.json"),
];

fn segment<'a>(scene: &'a str, backend: &'a str) -> Vec<&'a str> {
    vec![
        "segment",
        "--backend",
        backend,
        "--image",
        scene,
        "--text",
        "the gorilla",
    ]
}

#[test]
fn a_backend_left_out_names_its_feature() {
    let (folder, scene) = (folder(), scene());
    let listed = succeed(folder.path(), &["info", "--devices"]);
    assert_eq!(listed.lines().count(), 6, "{listed}");
    for (backend, compiled) in [
        ("wgpu", cfg!(feature = "wgpu")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("metal", cfg!(feature = "metal")),
        ("webgpu", cfg!(feature = "webgpu")),
        ("cuda", cfg!(feature = "cuda")),
    ] {
        if compiled {
            continue;
        }
        let line =
            format!("backend {backend} is not compiled in: build with `--features {backend}`");
        fail(folder.path(), &segment(&scene, backend), &[&line]);
        assert!(
            listed.contains(&format!("{backend:<7} {line}\n")),
            "{listed}"
        );
    }
}

#[test]
fn an_unknown_backend_and_device_are_told_what_there_is() {
    let (folder, scene) = (folder(), scene());
    let run = common::run_in(folder.path(), &segment(&scene, "opencl"), "");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr
            .contains("use flex, wgpu, vulkan, metal, webgpu or cuda"),
        "{}",
        run.stderr
    );
    let mut line = segment(&scene, "flex");
    line.extend(["--device", "1"]);
    fail(
        folder.path(),
        &line,
        &["flex has no device 1, only 1 numbered from 0"],
    );
}

#[cfg(feature = "vulkan")]
#[test]
fn without_a_driver_its_package_is_named() {
    let (folder, scene) = (folder(), scene());
    let line = "backend vulkan finds no device: install the Vulkan driver of a GPU, or Mesa's lavapipe (Debian: \
                mesa-vulkan-drivers)";
    for device in [None, Some("0"), Some("3")] {
        let mut arguments = segment(&scene, "vulkan");
        arguments.extend(device.into_iter().flat_map(|number| ["--device", number]));
        let run = common::run_with(folder.path(), &arguments, "", &NO_DRIVER);
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        assert_eq!(run.stderr, format!("error: {line}\n"));
        assert_eq!(run.stdout, "");
    }
    let run = common::run_with(folder.path(), &["info", "--devices"], "", &NO_DRIVER);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(
        run.stdout.contains(&format!("vulkan  {line}\n")),
        "{}",
        run.stdout
    );
    // The CPU is listed without it.
    assert!(
        run.stdout.starts_with("flex    0: processor"),
        "{}",
        run.stdout
    );
}

#[cfg(feature = "cuda")]
#[test]
fn without_a_driver_of_nvidia_it_is_asked_for() {
    if std::path::Path::new("/proc/driver/nvidia").exists() {
        return;
    }
    let (folder, scene) = (folder(), scene());
    let line = "backend cuda finds no device: it needs an Nvidia GPU and its driver";
    fail(folder.path(), &segment(&scene, "cuda"), &[line]);
    let listed = succeed(folder.path(), &["info", "--devices"]);
    assert!(listed.contains(&format!("cuda    {line}\n")), "{listed}");
}
