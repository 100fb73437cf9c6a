task negatives_to_zero (xs: list) -> list
about     Every element, with 0 in place of those below 0.
ensures   all (\x -> 0 <= x) result
example   [-5, 1] -> [0, 1]
example   [-9, 9, 9, -3, 5] -> [0, 9, 9, 0, 5]
example   [-3, -3, 1, -3, -9, -8, 6] -> [0, 0, 1, 0, 0, 0, 6]
example   [-8, -9, 0, 2, 1, -9] -> [0, 0, 0, 2, 1, 0]
example   [6, -2, 8, -6, -2, -9, -6, -8, -9] -> [6, 0, 8, 0, 0, 0, 0, 0, 0]
reference map (\x -> max x 0) xs
