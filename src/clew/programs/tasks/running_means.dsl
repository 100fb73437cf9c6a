task running_means (xs: list) -> list
about     The mean of each beginning of the list, rounded down.
ensures   length result == length xs
example   [2, -9] -> [2, -4]
example   [0, 0, 6, 5] -> [0, 0, 2, 2]
example   [3, -7, 5, -3, 6, 6, -2] -> [3, -2, 0, -1, 0, 1, 1]
example   [-7, 9, 9, -8, -9] -> [-7, 1, 3, 0, -2]
example   [7, -3, 0, 4, -9, 1, 8, -2] -> [7, 2, 1, 2, -1, 0, 1, 0]
reference zip (\x y -> x / (y + 1)) (scan (\x y -> x + y) xs) (range (length xs))
