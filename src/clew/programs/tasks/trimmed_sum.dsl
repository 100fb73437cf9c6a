task trimmed_sum (xs: list) -> int
about     The sum without one smallest and one largest element.
requires  1 < length xs
example   [-3, -8] -> 0
example   [-2, 2, -8, -6, -3, 8] -> -9
example   [0, -7, -1, -1, -1] -> -3
example   [7, 3, -3, 7, -8, -6] -> 1
example   [-1, 7, -4, 7, -2, 9, -7, 0] -> 7
reference sum xs - minimum xs - maximum xs
