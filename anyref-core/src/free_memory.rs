//! Free memory of this machine.

/// Memory in bytes that programs can still use: the system's available memory (`MemAvailable` on
/// Linux, free and inactive pages on macOS, available physical memory on Windows), or less where a
/// Linux control group limits it. `None` on systems without this information, such as wasm32.
#[cfg(not(target_family = "wasm"))]
pub fn free_memory() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    if system.total_memory() == 0 {
        return None;
    }
    let available = system.available_memory();
    let left = match system.cgroup_limits() {
        // The group's file pages can be dropped, so they do not count as used.
        Some(group) if group.total_memory < system.total_memory() => {
            available.min(group.total_memory.saturating_sub(group.rss))
        }
        _ => available,
    };
    (left > 0).then_some(left)
}

/// Free memory, unknown on wasm32.
#[cfg(target_family = "wasm")]
pub fn free_memory() -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn some_memory_is_free_and_less_than_all() {
        let free = free_memory().unwrap();
        let info = std::fs::read_to_string("/proc/meminfo").unwrap();
        let total = info.lines().find(|line| line.starts_with("MemTotal:"));
        let total: u64 = total
            .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap();
        assert!(
            (1 << 20..total * 1024).contains(&free),
            "{free} of {total} KiB"
        );
    }
}
