task second_half (xs: list) -> list
about     The second half of a list, the longer where it has no middle.
ensures   length result == (length xs + 1) / 2
example   [-3, -8] -> [-8]
example   [2, 3, -6, -9, -7, -1, -6] -> [-9, -7, -1, -6]
example   [-1, 6, -2, 5, 3] -> [-2, 5, 3]
example   [9, 5, -7, -8, -8, 1] -> [-8, -8, 1]
example   [3, -2, -5, 3, 8, 4, 8, 4] -> [8, 4, 8, 4]
reference drop (length xs / 2) xs
