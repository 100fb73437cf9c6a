task halved (xs: list) -> list
about     Half of every element, rounded down.
ensures   length result == length xs
example   [9, 7] -> [4, 3]
example   [-5, -4, 9, 0] -> [-3, -2, 4, 0]
example   [8, 2, -3, 7, 9] -> [4, 1, -2, 3, 4]
example   [-3, 6, 2, -9, 7] -> [-2, 3, 1, -5, 3]
example   [-7, -9, -8, -1, 1, -1, 8, -5, 5] -> [-4, -5, -4, -1, 0, -1, 4, -3, 2]
reference map (\x -> x / 2) xs
