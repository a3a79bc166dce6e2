import numpy as np

from unimask.tracking.places import Places


def test_many_objects_move_as_each_of_them_alone():
    random = np.random.default_rng(0)
    corners = random.uniform(0, 80, (6, 2))
    first = np.concatenate([corners, corners + random.uniform(4, 20, (6, 2))], axis=1)
    later = [first + random.normal(0, 3, first.shape) for _ in range(3)]
    sizes = random.uniform(4, 15, 6)

    def follow(rows):
        places = Places()
        places.append(first[rows], sizes[rows])
        distances = []
        for number, boxes in enumerate(later):
            places.predict(1 + number / 2)
            every = list(range(len(rows)))
            distances.append(places.squared_distances(every, boxes))
            places.update(every[::2], boxes[rows][::2], sizes[rows][::2])
        return places, np.stack(distances, axis=1)

    together, distances = follow(list(range(6)))
    for row in (0, 2, 4):
        alone, own = follow([row])
        assert np.allclose(own[0], distances[row])
        assert np.allclose(alone.motions.positions[0], together.motions.positions[row])
        assert np.allclose(alone.extents[0], together.extents[row])
    together.keep([4, 1])
    assert np.allclose(together.motions.positions[0], follow([4])[0].motions.positions[0])
    assert together.sizes.shape == (2,) and together.is_near((200, 200)).tolist() == [True, True]
    assert Places().squared_distances([], later[0]).shape == (0, 6)


def test_a_half_hidden_object_may_move_faster_than_its_box():
    # An object of 10 x 10 pixels, of which a strip of 10 x 5 is visible at the same place.
    places = Places()
    places.append(np.array([[0.0, 0, 10, 10]]), np.array([10.0]))
    for _ in range(3):
        places.predict(1)
        places.update([0], np.array([[0.0, 2, 10, 7]]), np.array([50**0.5]))
    places.predict(2)
    emerging = np.array([[0.0, 13, 10, 23], [0.0, 60, 10, 70]])
    near, other = places.squared_distances([0], emerging)[0]
    assert near <= 9 < other


def test_an_object_that_left_may_return_while_its_place_is_uncertain():
    def follow(speed):
        places = Places()
        places.append(np.array([[91.0, 40, 101, 50]]), np.array([10.0]))
        for number in range(1, 7):
            left = 91 + speed * number
            places.predict(1)
            places.update([0], np.array([[left, 40.0, left + 10, 50]]), np.array([10.0]))
        places.predict(12)
        assert places.motions.positions[0, 0] > 105  # more than half its width from the image
        return bool(places.is_near((100, 100))[0])

    assert follow(0.6) and not follow(5.0)
