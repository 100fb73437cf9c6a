task larger_of_each (xs: list, ys: list) -> list
about     The larger of the two elements at each place.
ensures   length result == min (length xs) (length ys)
example   [-9], [1, -5] -> [1]
example   [-5, 3], [-7, 5, 1, 9] -> [-5, 5]
example   [-6, 9, 6], [0, 6, 4, 3, 5] -> [0, 9, 6]
example   [0, -4], [7, 2, 8, -9, -3] -> [7, 2]
example   [-3, -9, 9, 7], [-2, -9, 7, -4] -> [-2, -9, 9, 7]
reference zip (\x y -> max x y) xs ys
