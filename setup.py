"""How ezpq_exec is packaged."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="ezpq_exec",
    version="0.1.0",
    description="An executor with priorities, timeouts that kill, and rich futures",
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["ezpq_exec", "ezpq_exec.*"]),
    package_data={"ezpq_exec": ["py.typed"]},
    install_requires=["loky>=3.5", "cloudpickle>=3.0"],
    extras_require={
        "dask": ["distributed>=2024.1"],
        "demo": ["rich>=13"],
        "joblib": ["joblib>=1.4"],
        "plot": ["pandas>=2.1", "plotnine>=0.14"],
        "memory": ["psutil>=5.9; sys_platform != 'linux'"],  # for max_worker_memory
        "progress": ["tqdm>=4.60"],
        "test": [
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.5",
            "coverage>=7.10",
            "hypothesis>=6.100",
            "psutil>=5.9",
            "rich>=13",
            "numpy",
            "dask>=2024.1",
            "distributed>=2024.1",
            "joblib>=1.4",
            "pandas>=2.1",
            "plotnine>=0.14",
            "tqdm>=4.60",
        ],
        "peers": [  # whose executors lend to us, and who take ours
            "adaptive>=1.3",
            "distributed>=2024.1",
            "executorlib>=1.0",
            "joblib>=1.4",
            "mpi4py>=4.0; sys_platform == 'linux'",
            "mpich>=4.2; sys_platform == 'linux'",  # an MPI for it, with mpiexec
            "scikit-learn>=1.4",
            "scipy>=1.15",
            "tqdm>=4.60",
        ],
        "lint": ["ruff>=0.9", "mypy>=1.14", "types-psutil"],
        "docs": [
            "sphinx>=8.1",
            "furo>=2024.8",
            "myst-nb>=1.2",
            "nbclient>=0.10",
            "nbformat>=5.10",
            "ipykernel>=6.29",
            "pandas>=2.1",
            "plotnine>=0.14",
        ],
        "bench": [
            "ezpq>=0.2",
            "pebble>=5.1",
            "joblib>=1.4",
            "deadpool-executor>=2026.1; sys_platform == 'linux'",
        ],
    },
    classifiers=[
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Typing :: Typed",
    ],
)
