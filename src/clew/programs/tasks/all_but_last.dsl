task all_but_last (xs: list) -> list
about     All elements but the last.
ensures   length result == max 0 (length xs - 1)
example   [2, 0] -> [2]
example   [4, -4, 5, 0, -5, 4, -2] -> [4, -4, 5, 0, -5, 4]
example   [9, -4, 8, 6, -1, -9] -> [9, -4, 8, 6, -1]
example   [1, 2, 4, 7, -2] -> [1, 2, 4, 7]
example   [-4, -6, 2, -3, -6, -1, 8, 0, -9] -> [-4, -6, 2, -3, -6, -1, 8, 0]
reference reverse (drop 1 (reverse xs))
