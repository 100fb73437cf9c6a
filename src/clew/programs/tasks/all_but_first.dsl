task all_but_first (xs: list) -> list
about     All elements but the first.
ensures   length result == max 0 (length xs - 1)
example   [9] -> []
example   [8, 6, -1, -6, 8, 8, -9] -> [6, -1, -6, 8, 8, -9]
example   [-3, 5, 7, -8, 6, -8] -> [5, 7, -8, 6, -8]
example   [-6, -1, -4, 1] -> [-1, -4, 1]
example   [9, 8, -5, 8, -9, 0, -1, 8] -> [8, -5, 8, -9, 0, -1, 8]
reference drop 1 xs
