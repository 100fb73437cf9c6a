task joined (xs: list, ys: list) -> list
about     One list, then another.
ensures   length result == length xs + length ys
example   [-5, 4], [-6] -> [-5, 4, -6]
example   [9], [-9, -6, 1] -> [9, -9, -6, 1]
example   [1, 4, -8], [8] -> [1, 4, -8, 8]
example   [4, 8, -2, -3], [7, 1, -1, 6] -> [4, 8, -2, -3, 7, 1, -1, 6]
example   [-9, 7, -2], [7, 4, 3, 4] -> [-9, 7, -2, 7, 4, 3, 4]
reference append xs ys
