//! A page of a list, made from the ranges of keys that its reader sees.
//!
//! Ranges are read in order until the page is full. Most are small, and many may be empty, so a page ends after
//! [`MOST_RANGES`] of them, full or not, and the next one goes on there: every page costs about the same.

use crate::authz::KeyRange;

/// Resources on a page of a list.
pub(crate) const PAGE_ITEMS: u32 = 100;
/// Ranges that are read for one page.
pub(crate) const MOST_RANGES: usize = 500;

/// The ranges that a page reads, after the last key of the page before; and the key at which it must end, when there are
/// more.
pub(crate) fn ranges<'a>(all: &'a [KeyRange], after: Option<&str>) -> (&'a [KeyRange], Option<&'a str>) {
    let after = after.unwrap_or("");
    let left = &all[all.partition_point(|range| range.last.as_str() <= after)..];
    match left.get(MOST_RANGES - 1) {
        Some(last) if left.len() > MOST_RANGES => (&left[..MOST_RANGES], Some(&last.last)),
        _ => (left, None),
    }
}

/// Cuts what was read to a page. `ends_at`: the key up to which everything was read, when it was not everything. Answers
/// the key after which the next page starts, if there is one.
pub(crate) fn cut<T>(rows: &mut Vec<T>, key_of: impl Fn(&T) -> &str, ends_at: Option<&str>) -> Option<String> {
    if let Some(ends_at) = ends_at {
        rows.retain(|row| key_of(row) <= ends_at);
    }
    if rows.len() > PAGE_ITEMS as usize {
        rows.truncate(PAGE_ITEMS as usize);
        return rows.last().map(|row| key_of(row).to_owned());
    }
    ends_at.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(number: usize) -> KeyRange {
        KeyRange { first: format!("/{number:05}"), last: format!("/{number:05}/z") }
    }

    #[test]
    fn a_page_goes_on_where_the_one_before_ended() {
        let all: Vec<KeyRange> = (0..MOST_RANGES + 2).map(range).collect();
        let (first, ends_at) = ranges(&all, None);
        assert_eq!((first.len(), ends_at), (MOST_RANGES, Some(all[MOST_RANGES - 1].last.as_str())));
        assert_eq!(ranges(&all, ends_at), (&all[MOST_RANGES..], None));
        // In the middle of a range, that range is read again, from there.
        assert_eq!(ranges(&all, Some("/00500/a")).0, &all[500..]);
        assert_eq!(ranges(&all[..2], None), (&all[..2], None));
    }

    #[test]
    fn a_page_is_cut_at_its_size_or_where_reading_ended() {
        let keys = |count: usize| (0..count).map(|number| format!("/{number:05}")).collect::<Vec<_>>();
        let mut rows = keys(3);
        assert_eq!(cut(&mut rows, |row| row, None), None);
        assert_eq!(cut(&mut rows, |row| row, Some("/00001")), Some("/00001".to_owned()));
        assert_eq!(rows.len(), 2);
        let mut rows = keys(PAGE_ITEMS as usize + 1);
        assert_eq!(cut(&mut rows, |row| row, Some("/99999")), Some(format!("/{:05}", PAGE_ITEMS - 1)));
        assert_eq!(rows.len(), PAGE_ITEMS as usize);
    }
}
