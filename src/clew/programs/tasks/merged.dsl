task merged (xs: list, ys: list) -> list
about     All elements of two lists, in order of size.
ensures   length result == length xs + length ys
example   [-8, 4], [-6] -> [-8, -6, 4]
example   [0, -8, 6, -3], [-9, -6, -5, 8] -> [-9, -8, -6, -5, -3, 0, 6, 8]
example   [8, 9, 7], [-1, 7, 7, 7] -> [-1, 7, 7, 7, 7, 8, 9]
example   [3, -1, 8, 0], [-1, -9, -1, -6, -8] -> [-9, -8, -6, -1, -1, -1, 0, 3, 8]
example   [0, 4, 0, -7], [-9, 2] -> [-9, -7, 0, 0, 2, 4]
reference sort (append xs ys)
