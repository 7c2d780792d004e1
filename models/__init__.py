"""Recommendation models: tensors in, tensors out.

The public names that are recommenders are the registry: adding a model is one file and one
import line here. See `models.registry`.
"""

from models.baselines.a2cmhne import A2CMHNE as A2CMHNE
from models.baselines.bm3 import BM3 as BM3
from models.baselines.bpr import BPR as BPR
from models.baselines.deepstyle import DeepStyle as DeepStyle
from models.baselines.dualgnn import DualGNN as DualGNN
from models.baselines.egogcn import EgoGCN as EgoGCN
from models.baselines.freedom import FREEDOM as FREEDOM
from models.baselines.gat import GAT as GAT
from models.baselines.grcn import GRCN as GRCN
from models.baselines.item_based import EASE as EASE
from models.baselines.item_based import ItemCF as ItemCF
from models.baselines.lattice import LATTICE as LATTICE
from models.baselines.lgmrec import LGMRec as LGMRec
from models.baselines.lightgcn import LightGCN as LightGCN
from models.baselines.mgcn import MGCN as MGCN
from models.baselines.mmgcn import MMGCN as MMGCN
from models.baselines.ngcf import NGCF as NGCF
from models.baselines.pmgt import PMGT as PMGT
from models.baselines.popularity import Popularity as Popularity
from models.baselines.sgl import SGL as SGL
from models.baselines.vbpr import VBPR as VBPR
from models.gnnmr import GNNMR as GNNMR
from models.mgnm import MGNM as MGNM
from models.micro import MICRO as MICRO
