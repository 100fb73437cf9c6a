task first_half (xs: list) -> list
about     The first half of a list, the shorter where it has no middle.
ensures   length result == length xs / 2
example   [-4] -> []
example   [8, 7, -1, -8, 4, 5] -> [8, 7, -1]
example   [6, 4, 4, -1, -7] -> [6, 4]
example   [-2, 4, -2, -4, 9, 8] -> [-2, 4, -2]
example   [-3, -2, 6, 8, -7, 0, 4, -8] -> [-3, -2, 6, 8]
reference take (length xs / 2) xs
