"""Decisions as users read, take back, compare and debug them: explain, explain --revert, diff, debug quantisation."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from tests.journeys.conftest import answer, marram, write_recordings

import marram as package
from marram._build.cache import Cache
from marram.bundle import open as open_bundle
from marram.bundle import public_key
from marram.core.codec import digest
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.core.ledger import FIGURES
from marram.core.recipe import CorrectBias, Equalise, Fold, Quantise, Recipe
from marram.core.recipe_file import read, written

pytestmark = pytest.mark.xdist_group("built")  # one worker makes the project that all of these look at

FOUR = Recipe(decisions=(Fold(), Equalise(), Quantise(calibration="mse"), CorrectBias()))


def opened(bundle: Path):
    return open_bundle(bundle, [public_key(bundle.parent / "signing.pub")])


def built_by(folder: Path, recipe: Recipe) -> Path:
    """The bundle of a build whose contract names the recipe."""
    (folder / "chosen.json").write_text(written(recipe))
    contract = folder / "marram.toml"
    contract.write_text(contract.read_text().replace("[compress]", '[compress]\nrecipe = "chosen.json"', 1))
    package.build(folder)
    return folder / "dist" / "here.mrm"


@pytest.fixture(scope="module")
def four(built_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a build by a contract that names four decisions; do not change it."""
    return built_by(shutil.copytree(built_project, tmp_path_factory.mktemp("four") / "shakes"), FOUR)


def test_explain_lists_the_decisions_with_gains_and_costs(built_project: Path) -> None:
    bundle = built_project / "dist" / "here.mrm"
    done = marram("explain", str(bundle), "--json")
    assert done.returncode == 0, done.stderr
    found = answer(done)
    sealed = opened(bundle)
    assert sealed.ledger is not None
    assert sealed.ledger.recipe == sealed.recipe
    assert [row["number"] for row in found["decisions"]] == list(range(len(sealed.recipe.decisions)))
    assert set(found["start"]) <= set(FIGURES)
    quantised = next(row for row in found["decisions"] if row["decision"].startswith("quantise"))
    assert quantised["gained"]["weight_bytes"] < 0
    assert quantised["cost"]["closeness_db"] < 0
    against = [row for decision in found["decisions"] for row in decision["against"]]
    assert any(row["differs"].startswith("- quantise") for row in against)
    assert all(row["reason"] for row in (*against, *found["others"]))
    # the search's own figure of what was chosen is the ledger's figure after the last decision
    (taken,) = (trial for trial in sealed.ledger.trials if not trial.reason)
    assert taken.recipe == sealed.recipe
    assert taken.figures["closeness_db"] == sealed.ledger.entries[-1].figures["closeness_db"]
    assert found["rooms"][0]["used"] == max(row["used"] for row in found["rooms"])
    size = next(row for row in found["rooms"] if row["promise"] == "size_kib")
    assert size["used"] == pytest.approx(sealed.program.size_bytes / 1024 / 200)


def test_explain_for_people(four: Path) -> None:
    done = marram("explain", str(four))
    assert done.returncode == 0, done.stderr
    for words in (" 1 equalise(rounds=20)", " 3 correctbias", "gained", "binds: "):
        assert words in done.stdout


def test_a_contract_s_recipe_is_taken_as_it_is(four: Path) -> None:
    sealed = opened(four)
    assert sealed.recipe == FOUR
    assert sealed.ledger is not None
    assert sealed.ledger.trials == ()


@pytest.mark.parametrize("number", [1, 3])
def test_a_revert_makes_the_program_of_a_build_without_the_decision(
    four: Path, built_project: Path, tmp_path: Path, number: int
) -> None:
    folder = shutil.copytree(four.parents[1], tmp_path / "reverted")
    done = marram("explain", str(folder / "dist" / "here.mrm"), "--revert", str(number), "--json")
    assert done.returncode == 0, done.stderr
    said = answer(done)
    reverted = opened(folder / "dist" / f"here.without-{number}.mrm")
    built = opened(built_by(shutil.copytree(built_project, tmp_path / "built"), FOUR.without(number)))
    assert reverted.program.blob == built.program.blob
    assert reverted.program == built.program
    assert reverted.program != opened(four).program
    assert reverted.ledger == built.ledger
    (gone,) = said["difference"]["decisions"]
    assert gone.startswith("- ")
    assert said["difference"]["same_program"] is False
    verified = marram("verify", str(folder / "dist" / f"here.without-{number}.mrm"))
    assert verified.returncode == 0, verified.stderr
    assert read(Path(said["recipe_file"])) == FOUR.without(number)


def test_a_revert_from_elsewhere_needs_the_project(four: Path, tmp_path: Path) -> None:
    away = Path(shutil.copy(four, tmp_path / "here.mrm"))
    key = four.parent / "signing.pub"
    with pytest.raises(UserError, match="lies in no project"):
        package.revert(away, 3, trust=[key])
    out = tmp_path / "new" / "less.mrm"
    folder = shutil.copytree(four.parents[1], tmp_path / "shakes")
    found = package.revert(away, 3, trust=[key], project=folder, out=out)
    assert (found.bundle, Path(found.recipe_file).name) == (str(out), "less.json")
    assert open_bundle(out, [public_key(key)]).recipe == FOUR.without(3)


@pytest.mark.parametrize(
    ("number", "said"),
    [(4, "there is no decision 4: the bundle has 4, 0 to 3"), (2, "decision 3 (correctbias)"), (0, "without decision 0, fold")],
)
def test_reverts_that_make_no_sense(four: Path, tmp_path: Path, number: int, said: str) -> None:
    folder = shutil.copytree(four.parents[1], tmp_path / "shakes")
    done = marram("explain", str(folder / "dist" / "here.mrm"), "--revert", str(number))
    assert done.returncode == UserError.exit_code
    assert said in done.stderr
    assert not list((folder / "dist").glob("*without*"))


def test_a_project_that_changed_is_named(four: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(four.parents[1], tmp_path / "shakes")
    contract, bundle = folder / "marram.toml", folder / "dist" / "here.mrm"
    text = contract.read_text()
    contract.write_text(text.replace("epochs = 4", "epochs = 5"))
    with pytest.raises(UserError, match=r"training\.epochs was 4 and is 5"):
        package.revert(bundle, 3)
    contract.write_text(text.replace("accuracy_min = 0.5", "accuracy_min = 0.4"))  # makes no program another one
    write_recordings(folder / "recordings.npz", seed=1)
    with pytest.raises(UserError, match="the project's data is not what the bundle was made of"):
        package.revert(bundle, 3)


def test_a_float_bundle_has_no_decisions(built_project: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built_project, tmp_path / "shakes")
    contract = folder / "marram.toml"
    contract.write_text(contract.read_text().replace('runtime = "litert"', 'runtime = "litert"\nprecision = "float32"'))
    package.build(folder)
    for arguments in ((), ("--revert", "0")):
        done = marram("explain", str(folder / "dist" / "here.mrm"), *arguments)
        assert done.returncode == UserError.exit_code
        assert "holds no decisions: its program is float32" in done.stderr


def test_a_recipe_without_integers_is_refused(built_project: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none of the recipe's decisions makes integers"):
        built_by(shutil.copytree(built_project, tmp_path / "shakes"), Recipe(decisions=(Fold(),)))


def test_a_recipe_may_begin_with_a_model_that_the_project_keeps(four: Path, tmp_path: Path) -> None:
    """As the recipe of a searched model does: its decisions begin with a supernet, not with the contract's model."""
    folder = shutil.copytree(four.parents[1], tmp_path / "shakes")
    sealed = opened(four)
    assert sealed.ledger is not None
    cache = Cache(folder / ".marram" / "cache")
    own = cache.known(("base model", sealed.ledger.base), Graph)
    assert own is not None
    scaled = {name: 0.9 * values for name, values in own.constants.items() if name.startswith("classifier")}
    other = msgspec.structs.replace(own, constants={**own.constants, **scaled})
    chosen = folder / "chosen.json"
    chosen.write_text(written(FOUR, base=digest(other)))
    with pytest.raises(UserError, match="the model that the recipe begins with"):
        package.build(folder)
    cache.keep(("base model", digest(other)), other)
    package.build(folder)
    built = opened(folder / "dist" / "here.mrm")
    assert built.ledger is not None
    assert built.ledger.base == digest(other)
    assert built.program != sealed.program
    found = package.revert(folder / "dist" / "here.mrm", 3)
    shutil.copy(found.recipe_file, chosen)
    package.build(folder)
    assert opened(folder / "dist" / "here.mrm").program == opened(Path(found.bundle)).program
    drops = [figure.value for name in ("here.mrm", "here.without-3.mrm") if (figure := figure_of(folder / "dist" / name))]
    assert drops[0] == drops[1]  # both are counted from the contract's own float model


def figure_of(bundle: Path):
    return opened(bundle).evidence.figure("accuracy_drop")


def test_diff_of_two_bundles(built_project: Path, four: Path, tmp_path: Path) -> None:
    key = str(built_project / "dist" / "signing.pub")
    done = marram("diff", str(built_project / "dist" / "here.mrm"), str(four), "--trust", key, "--json")
    assert done.returncode == 0, done.stderr
    found = answer(done)
    assert any(line.startswith("+ equalise") for line in found["decisions"])
    size = next(row for row in found["figures"] if row["name"] == "program_bytes")
    assert size["change"] == opened(four).program.size_bytes - opened(built_project / "dist" / "here.mrm").program.size_bytes
    assert [row["key"] for row in found["contract"]] == ["compress.recipe"]
    assert {"contract", "graph", "recipe"} == {row["key"] for row in found["lineage"]}
    same = package.diff(four, four)
    assert (same.decisions, same.contract, same.lineage, same.same_program) == ((), (), (), True)


def test_diff_of_recipes_and_bundles(four: Path, tmp_path: Path) -> None:
    less = tmp_path / "less.json"
    less.write_text(written(FOUR.without(1)))
    done = marram("diff", str(four), str(less))
    assert done.returncode == 0, done.stderr
    assert "- equalise(rounds=20)" in done.stdout
    assert package.diff(less, less).decisions == ()
    strange = marram("diff", str(less), str(tmp_path / "model.onnx"), "--json")
    assert strange.returncode == UserError.exit_code
    assert "neither a bundle nor a recipe" in answer(strange)["error"]["what"]


def test_debug_quantisation_of_a_project_and_of_its_bundle(four: Path, tmp_path: Path) -> None:
    done = marram("debug", "quantisation", str(four.parents[1]), "--out", str(tmp_path / "one.html"), "--json")
    assert done.returncode == 0, done.stderr
    found = answer(done)
    assert found["recipe"][1] == "equalise(rounds=20)"
    assert len(found["layers"]) > 3
    assert sum(row["noise_share"] for row in found["layers"]) == pytest.approx(1.0)
    assert {row["target"] for row in found["worst"]} <= {"shake-0", "shake-1", "shake-2"}
    assert all(row["origin"].startswith("recordings.npz: recording") for row in found["worst"])
    assert found["findings"]
    again = marram("debug", "quantisation", str(four), "--out", str(tmp_path / "two.html"))
    assert again.returncode == 0, again.stderr
    assert "worst samples" in again.stdout
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
    nowhere = marram("debug", "quantisation", str(tmp_path), "--json")
    assert nowhere.returncode == UserError.exit_code
