//! Memory that is free on this machine.

/// Memory in bytes that programs can still take: what the system calls available (`MemAvailable` of
/// Linux, free and inactive pages of macOS, available physical memory of Windows), or less where a
/// Linux control group leaves less. `None` on systems that do not tell, such as wasm32.
#[cfg(not(target_family = "wasm"))]
pub fn free_memory() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    if system.total_memory() == 0 {
        return None;
    }
    let available = system.available_memory();
    let left = match system.cgroup_limits() {
        // The group's own pages of files can be dropped, so that they do not count as taken.
        Some(group) if group.total_memory < system.total_memory() => {
            available.min(group.total_memory.saturating_sub(group.rss))
        }
        _ => available,
    };
    (left > 0).then_some(left)
}

/// Memory that is free, which wasm32 does not tell.
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
