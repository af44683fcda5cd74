//! What is kept of images, up to a number of bytes; the least recently used goes first.

use std::collections::HashMap;

/// Values by id, with their bytes.
#[derive(Debug)]
pub struct Cache<T> {
    limit: u64,
    held: u64,
    clock: u64,
    entries: HashMap<String, Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    bytes: u64,
    used: u64,
}

impl<T> Cache<T> {
    pub fn new(limit: u64) -> Self {
        Self { limit, held: 0, clock: 0, entries: HashMap::new() }
    }

    pub fn contains(&self, id: &str) -> bool {
        self.entries.contains_key(id)
    }

    /// The value, which is now the most recently used.
    pub fn get(&mut self, id: &str) -> Option<(&T, u64)> {
        self.clock += 1;
        let entry = self.entries.get_mut(id)?;
        entry.used = self.clock;
        Some((&entry.value, entry.bytes))
    }

    /// Adds a value and removes others until all fit; the new one stays, however large it is. Returns how
    /// many went.
    pub fn insert(&mut self, id: &str, value: T, bytes: u64) -> u64 {
        self.remove(id);
        self.clock += 1;
        self.held += bytes;
        self.entries.insert(id.to_string(), Entry { value, bytes, used: self.clock });
        let mut gone = 0;
        while self.held > self.limit && self.entries.len() > 1 {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { break };
            self.remove(&oldest);
            gone += 1;
        }
        gone
    }

    pub fn remove(&mut self, id: &str) -> bool {
        let entry = self.entries.remove(id);
        self.held -= entry.as_ref().map_or(0, |entry| entry.bytes);
        entry.is_some()
    }

    /// Values, and their bytes.
    pub fn size(&self) -> (usize, u64) {
        (self.entries.len(), self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes() {
        let mut cache = Cache::new(10);
        assert_eq!(cache.insert("a", 'a', 4), 0);
        assert_eq!(cache.insert("b", 'b', 4), 0);
        assert_eq!(cache.get("a"), Some((&'a', 4)));
        assert_eq!(cache.insert("c", 'c', 4), 1);
        assert!(cache.contains("a") && !cache.contains("b"));
        assert_eq!(cache.size(), (2, 8));
        assert_eq!(cache.insert("a", 'A', 1), 0);
        assert_eq!(cache.size(), (2, 5));
        assert_eq!(cache.insert("d", 'd', 99), 2, "one alone may be larger than the limit");
        assert_eq!(cache.size(), (1, 99));
        assert!(cache.remove("d") && !cache.remove("d"));
        assert_eq!(cache.size(), (0, 0));
    }
}
