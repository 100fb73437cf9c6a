task best_trade (xs: list) -> int
about     The most that is gained by buying at one price and selling at the same or a later one.
requires  not (is_empty xs)
ensures   0 <= result
example   [11, 12] -> 1
example   [12, 19, 20, 11] -> 8
example   [1, 10, 19, 1, 17] -> 18
example   [10, 15, 8, 12, 12] -> 5
example   [13, 6, 7, 16, 17, 14, 16, 7] -> 11
reference maximum (zip (\x y -> x - y) xs (scan (\x y -> min x y) xs))
