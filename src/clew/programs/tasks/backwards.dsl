task backwards (xs: list) -> list
about     The elements from the last to the first.
ensures   length result == length xs
example   [-8, -6] -> [-6, -8]
example   [-1, 0, 6, -1, -1, -8] -> [-8, -1, -1, 6, 0, -1]
example   [-9, -1, 8, -4, 8, -4] -> [-4, 8, -4, 8, -1, -9]
example   [-9, 4, 9, -2] -> [-2, 9, 4, -9]
example   [7, 6, -3, 7, 4, 3, -9, 0] -> [0, -9, 3, 4, 7, -3, 6, 7]
reference reverse xs
