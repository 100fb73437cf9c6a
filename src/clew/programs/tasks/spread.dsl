task spread (xs: list) -> int
about     How far the largest element is from the smallest.
requires  not (is_empty xs)
ensures   0 <= result
example   [7, -1] -> 8
example   [3, -6, -6, -8] -> 11
example   [0, 4, 7, -4, 5, 2, 8] -> 12
example   [-2, -9, -8, -5] -> 7
example   [-3, -8, 1, 9, -7, -5, -7, -5, 7] -> 17
reference maximum xs - minimum xs
